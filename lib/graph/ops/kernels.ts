/** The WGSL files of the ops, with their includes. */
import { defineKernel, type Kernel } from "../../gpu/kernel.ts";
import activation from "../../../kernels/activation.wgsl" with { type: "text" };
import attentionBackwardKey from "../../../kernels/attention_backward_key.wgsl" with { type: "text" };
import attentionBackwardQuery from "../../../kernels/attention_backward_query.wgsl" with { type: "text" };
import attentionCommon from "../../../kernels/attention_common.wgsl" with { type: "text" };
import attentionForward from "../../../kernels/attention_forward.wgsl" with { type: "text" };
import bandScores from "../../../kernels/band_scores.wgsl" with { type: "text" };
import boundaryLoss from "../../../kernels/boundary_loss.wgsl" with { type: "text" };
import clipDecide from "../../../kernels/clip_decide.wgsl" with { type: "text" };
import columnSum from "../../../kernels/column_sum.wgsl" with { type: "text" };
import combine from "../../../kernels/combine.wgsl" with { type: "text" };
import confidenceUpdate from "../../../kernels/confidence_update.wgsl" with { type: "text" };
import copyColumns from "../../../kernels/copy_columns.wgsl" with { type: "text" };
import crfCommon from "../../../kernels/crf_common.wgsl" with { type: "text" };
import crfLoss from "../../../kernels/crf_loss.wgsl" with { type: "text" };
import crfViterbi from "../../../kernels/crf_viterbi.wgsl" with { type: "text" };
import criteriaLoss from "../../../kernels/criteria_loss.wgsl" with { type: "text" };
import dotPartial from "../../../kernels/dot_partial.wgsl" with { type: "text" };
import dropoutMask from "../../../kernels/dropout_mask.wgsl" with { type: "text" };
import elementwise from "../../../kernels/elementwise.wgsl" with { type: "text" };
import embeddingBackward from "../../../kernels/embedding_backward.wgsl" with { type: "text" };
import embeddingForward from "../../../kernels/embedding_forward.wgsl" with { type: "text" };
import embeddingPerturb from "../../../kernels/embedding_perturb.wgsl" with { type: "text" };
import fastGradientScale from "../../../kernels/fast_gradient_scale.wgsl" with { type: "text" };
import feedForwardActivation from "../../../kernels/feed_forward_activation.wgsl" with { type: "text" };
import half from "../../../kernels/half.wgsl" with { type: "text" };
import layerNormBackward from "../../../kernels/layer_norm_backward.wgsl" with { type: "text" };
import layerNormForward from "../../../kernels/layer_norm_forward.wgsl" with { type: "text" };
import log1pUnit from "../../../kernels/log1p_unit.wgsl" with { type: "text" };
import lossRecord from "../../../kernels/loss_record.wgsl" with { type: "text" };
import optimizer from "../../../kernels/optimizer.wgsl" with { type: "text" };
import philox from "../../../kernels/philox.wgsl" with { type: "text" };
import poolBackward from "../../../kernels/pool_backward.wgsl" with { type: "text" };
import poolForward from "../../../kernels/pool_forward.wgsl" with { type: "text" };
import rowReduce from "../../../kernels/row_reduce.wgsl" with { type: "text" };
import scaleGradient from "../../../kernels/scale_gradient.wgsl" with { type: "text" };
import segmentMeanBackward from "../../../kernels/segment_mean_backward.wgsl" with { type: "text" };
import segmentMeanForward from "../../../kernels/segment_mean_forward.wgsl" with { type: "text" };
import segmentRanges from "../../../kernels/segment_ranges.wgsl" with { type: "text" };
import sentenceLoss from "../../../kernels/sentence_loss.wgsl" with { type: "text" };
import sigmoid from "../../../kernels/sigmoid.wgsl" with { type: "text" };
import softmax from "../../../kernels/softmax.wgsl" with { type: "text" };
import spanGridLoss from "../../../kernels/span_grid_loss.wgsl" with { type: "text" };
import spanTargets from "../../../kernels/span_targets.wgsl" with { type: "text" };
import step from "../../../kernels/step.wgsl" with { type: "text" };
import sumSquares from "../../../kernels/sum_squares.wgsl" with { type: "text" };
import tokenDot from "../../../kernels/token_dot.wgsl" with { type: "text" };
import tokenSpread from "../../../kernels/token_spread.wgsl" with { type: "text" };
import tokenSum from "../../../kernels/token_sum.wgsl" with { type: "text" };
import topSpans from "../../../kernels/top_spans.wgsl" with { type: "text" };
import weightedSum from "../../../kernels/weighted_sum.wgsl" with { type: "text" };

const includes = {
  "attention_common.wgsl": attentionCommon,
  "crf_common.wgsl": crfCommon,
  "dropout_mask.wgsl": dropoutMask,
  "feed_forward_activation.wgsl": feedForwardActivation,
  "half.wgsl": half,
  "log1p_unit.wgsl": log1pUnit,
  "philox.wgsl": philox,
  "row_reduce.wgsl": rowReduce,
  "sigmoid.wgsl": sigmoid,
  "span_targets.wgsl": spanTargets,
  "step.wgsl": step,
};

const kernel = (name: string, source: string): Kernel => defineKernel(name, source, includes);

/** Every kernel but the GEMMs, which `gpu/gemm.ts` chooses by shape. */
export const KERNELS = {
  activation: kernel("activation", activation),
  attentionBackwardKey: kernel("attention_backward_key", attentionBackwardKey),
  attentionBackwardQuery: kernel("attention_backward_query", attentionBackwardQuery),
  attentionForward: kernel("attention_forward", attentionForward),
  bandScores: kernel("band_scores", bandScores),
  boundaryLoss: kernel("boundary_loss", boundaryLoss),
  clipDecide: kernel("clip_decide", clipDecide),
  columnSum: kernel("column_sum", columnSum),
  combine: kernel("combine", combine),
  confidenceUpdate: kernel("confidence_update", confidenceUpdate),
  copyColumns: kernel("copy_columns", copyColumns),
  crfLoss: kernel("crf_loss", crfLoss),
  crfViterbi: kernel("crf_viterbi", crfViterbi),
  criteriaLoss: kernel("criteria_loss", criteriaLoss),
  dotPartial: kernel("dot_partial", dotPartial),
  elementwise: kernel("elementwise", elementwise),
  embeddingBackward: kernel("embedding_backward", embeddingBackward),
  embeddingForward: kernel("embedding_forward", embeddingForward),
  embeddingPerturb: kernel("embedding_perturb", embeddingPerturb),
  fastGradientScale: kernel("fast_gradient_scale", fastGradientScale),
  layerNormBackward: kernel("layer_norm_backward", layerNormBackward),
  layerNormForward: kernel("layer_norm_forward", layerNormForward),
  lossRecord: kernel("loss_record", lossRecord),
  optimizer: kernel("optimizer", optimizer),
  poolBackward: kernel("pool_backward", poolBackward),
  poolForward: kernel("pool_forward", poolForward),
  scaleGradient: kernel("scale_gradient", scaleGradient),
  segmentMeanBackward: kernel("segment_mean_backward", segmentMeanBackward),
  segmentMeanForward: kernel("segment_mean_forward", segmentMeanForward),
  segmentRanges: kernel("segment_ranges", segmentRanges),
  sentenceLoss: kernel("sentence_loss", sentenceLoss),
  softmax: kernel("softmax", softmax),
  spanGridLoss: kernel("span_grid_loss", spanGridLoss),
  sumSquares: kernel("sum_squares", sumSquares),
  tokenDot: kernel("token_dot", tokenDot),
  tokenSpread: kernel("token_spread", tokenSpread),
  tokenSum: kernel("token_sum", tokenSum),
  topSpans: kernel("top_spans", topSpans),
  weightedSum: kernel("weighted_sum", weightedSum),
};
