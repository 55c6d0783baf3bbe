using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>Qwen 3 (dense): as Llama, with every head of q and k normed before a half-split RoPE.</summary>
internal static class Qwen3
{
    public const string Architecture = "qwen3";

    public static ModelConfig Configure(GgufFile file) =>
        Family.Common(file) with { RopePairing = RopePairing.Half, HeadNorms = true };
}
