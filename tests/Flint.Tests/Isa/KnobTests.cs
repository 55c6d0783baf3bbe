using System.Runtime.Intrinsics.X86;
using Flint.Kernels;

namespace Flint.Tests.Isa;

/// <summary>Proves, inside a child of <see cref="IsaTests"/>, that what was switched off is off and that fused arithmetic keeps its bits.</summary>
[Trait("Isa", "yes")]
public sealed class KnobTests
{
    /// <summary>Lists the knobs that the parent set to 0.</summary>
    internal const string OffVariable = "FLINT_ISA_OFF";

    [Fact]
    public void What_was_switched_off_is_off()
    {
        string[] off = (Environment.GetEnvironmentVariable(OffVariable) ?? "").Split(',', StringSplitOptions.RemoveEmptyEntries);
        bool all = off.Contains("EnableHWIntrinsic"), avx2 = all || off.Contains("EnableAVX2");
        if (avx2 || off.Contains("EnableAVX512")) Assert.False(Avx512F.IsSupported);
        if (avx2 || off.Contains("EnableAVXVNNI")) Assert.False(AvxVnni.IsSupported);
        if (avx2) Assert.False(Avx2.IsSupported || Fma.IsSupported);
        if (all) Assert.False(Sse42.IsSupported);
        if (avx2 || off.Contains("EnableAVX512") || off.Contains(Flint.Kernels.Isa.EmissionVariable)) Assert.Null(TileSet.OfThisMachine);
        else Assert.Equal(Flint.Kernels.Isa.HasVnni512 && OperatingSystem.IsLinux(), TileSet.OfThisMachine is not null);
    }

    [Fact]
    public void Scalar_fused_multiply_add_rounds_once_in_hardware_and_in_software()
    {
        var random = new Random(1);
        var results = new float[4096];
        for (int i = 0; i < results.Length; i++)
        {
            float a = Wide(random), b = Wide(random), c = -(a * b) * (1 + random.NextSingle() * 1e-6f);
            results[i] = MathF.FusedMultiplyAdd(a, b, c);
            // The product of two floats is exact in double; the sum rounds to odd there only by chance, so allow nothing but equality
            // where the double sum is exact.
            double product = (double)a * b, sum = product + c;
            if (sum - product == c && sum - c == product) Assert.Equal((float)sum, results[i]);
        }
        IsaDigest.Record("knobs/fma", results);
    }

    private static float Wide(Random random) =>
        (random.NextSingle() * 2 - 1) * MathF.ScaleB(1, random.Next(-40, 40));
}
