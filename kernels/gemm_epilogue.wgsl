// What a GEMM does with A·B in the registers it was made in; an include. ELEMENT is f32 or vec4f; `index` counts ELEMENTs
// of C [M, N], `column` those of one row. C_TYPE, C_READ, C_WRITE and those of AUX: how they are stored, see half.wgsl.
//
//   BIAS:        c = result + bias                                        bias [N]
//   BIAS + ACTIVATE: aux = result + bias (the pre-activation u), c = activate(u)  aux [M, N]
//   DERIVATIVE:  c = result · activate'(aux), the backward of ACTIVATE    aux [M, N]
//   ACCUMULATE:  c = c + result                                           (gradients over micro-batches)
//
// Exactly one of these, or none. After the fused epilogues of llm.c's matmul.cuh and cuBLASLt.

@group(0) @binding(3) var<storage, read_write> c: array<$C_TYPE>;
//#if BIAS
@group(0) @binding(4) var<storage, read> bias: array<$ELEMENT>;
//#end
//#if ACTIVATE
@group(0) @binding(5) var<storage, read_write> aux: array<$AUX_TYPE>;
//#end
//#if DERIVATIVE
@group(0) @binding(5) var<storage, read> aux: array<$AUX_TYPE>;
//#end
//#if ACTIVATE || DERIVATIVE
//#include "feed_forward_activation.wgsl"
//#end

/// What the accumulators of a column start from.
fn initial(column: u32) -> $ELEMENT {
  //#if BIAS
  return bias[column];
  //#else
  return $ELEMENT();
  //#end
}

/// Takes one finished ELEMENT. Unrolled tiles call this often, and stores compile slowly: nothing else is done here.
fn store(index: u32, result: $ELEMENT) {
  //#if ACTIVATE
  aux[index] = $AUX_WRITE(result);
  //#else
  //#if ACCUMULATE
  c[index] = $C_WRITE($C_READ(c[index]) + result);
  //#else
  c[index] = $C_WRITE(result);
  //#end
  //#end
}

//#if ACTIVATE || DERIVATIVE
/// Completes an ELEMENT this invocation has stored; called from a loop, so that the activation is compiled once.
fn finish(index: u32) {
  //#if ACTIVATE
  c[index] = $C_WRITE(activate($AUX_READ(aux[index])));
  //#else
  c[index] = $C_WRITE($C_READ(c[index]) * activation_derivative($AUX_READ(aux[index])));
  //#end
}
//#end
