/** The WGSL files of the ops, with their includes. */
import { defineKernel, type Kernel } from "../../gpu/kernel.ts";
import activation from "../../../kernels/activation.wgsl" with { type: "text" };
import adamw from "../../../kernels/adamw.wgsl" with { type: "text" };
import attentionBackwardKey from "../../../kernels/attention_backward_key.wgsl" with { type: "text" };
import attentionBackwardQuery from "../../../kernels/attention_backward_query.wgsl" with { type: "text" };
import attentionCommon from "../../../kernels/attention_common.wgsl" with { type: "text" };
import attentionForward from "../../../kernels/attention_forward.wgsl" with { type: "text" };
import bceLoss from "../../../kernels/bce_loss.wgsl" with { type: "text" };
import clipDecide from "../../../kernels/clip_decide.wgsl" with { type: "text" };
import columnSum from "../../../kernels/column_sum.wgsl" with { type: "text" };
import dropoutMask from "../../../kernels/dropout_mask.wgsl" with { type: "text" };
import elementwise from "../../../kernels/elementwise.wgsl" with { type: "text" };
import embeddingBackward from "../../../kernels/embedding_backward.wgsl" with { type: "text" };
import embeddingForward from "../../../kernels/embedding_forward.wgsl" with { type: "text" };
import layerNormBackward from "../../../kernels/layer_norm_backward.wgsl" with { type: "text" };
import layerNormForward from "../../../kernels/layer_norm_forward.wgsl" with { type: "text" };
import lossRecord from "../../../kernels/loss_record.wgsl" with { type: "text" };
import philox from "../../../kernels/philox.wgsl" with { type: "text" };
import poolBackward from "../../../kernels/pool_backward.wgsl" with { type: "text" };
import poolForward from "../../../kernels/pool_forward.wgsl" with { type: "text" };
import rowReduce from "../../../kernels/row_reduce.wgsl" with { type: "text" };
import softmax from "../../../kernels/softmax.wgsl" with { type: "text" };
import spanLoss from "../../../kernels/span_loss.wgsl" with { type: "text" };
import step from "../../../kernels/step.wgsl" with { type: "text" };
import sumSquares from "../../../kernels/sum_squares.wgsl" with { type: "text" };

const includes = {
  "activation.wgsl": activation,
  "attention_common.wgsl": attentionCommon,
  "dropout_mask.wgsl": dropoutMask,
  "philox.wgsl": philox,
  "row_reduce.wgsl": rowReduce,
  "step.wgsl": step,
};

const kernel = (name: string, source: string): Kernel => defineKernel(name, source, includes);

/** Every kernel but the GEMMs, which `gpu/gemm.ts` chooses by shape. */
export const KERNELS = {
  adamw: kernel("adamw", adamw),
  attentionBackwardKey: kernel("attention_backward_key", attentionBackwardKey),
  attentionBackwardQuery: kernel("attention_backward_query", attentionBackwardQuery),
  attentionForward: kernel("attention_forward", attentionForward),
  bceLoss: kernel("bce_loss", bceLoss),
  clipDecide: kernel("clip_decide", clipDecide),
  columnSum: kernel("column_sum", columnSum),
  elementwise: kernel("elementwise", elementwise),
  embeddingBackward: kernel("embedding_backward", embeddingBackward),
  embeddingForward: kernel("embedding_forward", embeddingForward),
  layerNormBackward: kernel("layer_norm_backward", layerNormBackward),
  layerNormForward: kernel("layer_norm_forward", layerNormForward),
  lossRecord: kernel("loss_record", lossRecord),
  poolBackward: kernel("pool_backward", poolBackward),
  poolForward: kernel("pool_forward", poolForward),
  softmax: kernel("softmax", softmax),
  spanLoss: kernel("span_loss", spanLoss),
  sumSquares: kernel("sum_squares", sumSquares),
};
