using Flint.Formats;
using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>Llama 2, 3 and 3.x, Mistral 7B and others of their kind: RMSNorm, grouped-query attention with adjacent-pair RoPE, SwiGLU; Mixtral, whose SwiGLU are experts.</summary>
internal static class Llama
{
    public const string Architecture = "llama";

    public static ModelConfig Configure(GgufFile file)
    {
        ModelConfig common = Family.Common(file, experts: true);
        return common with { RopePairing = RopePairing.Adjacent, RopeFactors = RopeFactors(file, common) };
    }

    /// <summary>Llama 3.1's frequency divisors, which its converter stores as a tensor.</summary>
    private static unsafe float[]? RopeFactors(GgufFile file, ModelConfig common)
    {
        if (!file.Tensors.TryGet("rope_freqs.weight", out TensorInfo? info)) return null;
        int pairs = common.RopeDimensions / 2;
        info = file.Tensors.Get("rope_freqs.weight", pairs);
        float[] factors = new float[pairs];
        fixed (float* p = factors) WeightTypes.DecodeRow(info.Type, info.Data, p, pairs);
        if (factors.Any(f => !(f > 0) || !float.IsFinite(f)))
            throw Family.Inconsistent(file, "tensor rope_freqs.weight holds a divisor that is not a positive number");
        return factors;
    }
}
