using Flint.Kernels;
using Flint.Weights;

namespace Flint.Models;

/// <summary>
/// Muse Glimmer: normed embeddings, norms before and after each block, normed heads, a sigmoid gate on the attention output;
/// three layers in four see a window and turn their heads, the fourth sees everything and does not.
/// </summary>
internal static class MuseGlimmer
{
    public const string Architecture = "muse-glimmer";

    private const float PostNormEpsilon = 1e-8f; // not in the file
    private const float DefaultLogitCap = 20f;

    public static ModelConfig Configure(GgufFile file)
    {
        GgufMetadata metadata = file.Metadata;
        ModelConfig common = Family.Common(file);
        int window = metadata.Get<int>($"{Architecture}.attention.sliding_window");
        if (window < 1) throw Family.Inconsistent(file, $"{Architecture}.attention.sliding_window is {window}; expected at least 1");
        return common with
        {
            RopePairing = RopePairing.Adjacent,
            NormEmbedding = true,
            HeadNorms = true,
            OutputGate = true,
            PostNorms = true,
            PostNormEpsilon = PostNormEpsilon,
            RopeOnFullLayers = false,
            Windows = Windows(file, common.Layers, window),
            LogitScale = metadata.Get<float>($"{Architecture}.logit_scale"),
            LogitCap = metadata.GetOr($"{Architecture}.final_logit_softcapping", DefaultLogitCap),
        };
    }

    /// <summary>The pattern is an array (true: window; cycled where it is short) or a period p (every p-th layer is full).</summary>
    private static int[] Windows(GgufFile file, int layers, int window)
    {
        const string key = $"{Architecture}.attention.sliding_window_pattern";
        int[] windows = new int[layers];
        if (file.Metadata.TryGet(key, out bool[]? pattern) && pattern!.Length > 0)
        {
            for (int l = 0; l < layers; l++) windows[l] = pattern[l % pattern.Length] ? window : 0;
            return windows;
        }

        int period = file.Metadata.GetOr(key, 4);
        if (period < 1) throw Family.Inconsistent(file, $"{key} is {period}; expected at least 1");
        for (int l = 0; l < layers; l++) windows[l] = l % period < period - 1 ? window : 0;
        return windows;
    }
}
