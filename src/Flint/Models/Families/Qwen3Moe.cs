using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>Qwen 3 with experts: as Qwen 3, with a feed-forward block of experts in every layer.</summary>
internal static class Qwen3Moe
{
    public const string Architecture = "qwen3moe";

    public static ModelConfig Configure(GgufFile file) =>
        Family.Common(file, experts: true) with { RopePairing = RopePairing.Half, HeadNorms = true };
}
