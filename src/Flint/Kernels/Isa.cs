using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>Which body a kernel runs in.</summary>
internal enum LaneBody
{
    Scalar,
    Avx2,
    Avx512,
}

/// <summary>The instruction sets of this machine, and the bodies chosen for them.</summary>
internal static class Isa
{
    /// <summary>The body of the float kernels.</summary>
    public static LaneBody Floats { get; } =
        Avx512F.IsSupported && Avx512BW.IsSupported ? LaneBody.Avx512 : HasAvx2 ? LaneBody.Avx2 : LaneBody.Scalar;

    /// <summary>The body of the 8-bit kernels: two 256-bit halves where only those have the byte dot product.</summary>
    public static LaneBody Codes { get; } = HasAvx2 && AvxVnni.IsSupported ? LaneBody.Avx2 : Floats;

    private static bool HasAvx2 => Avx2.IsSupported && Fma.IsSupported;

    /// <summary>One word for a person: what the kernels run on.</summary>
    public static string Description =>
        Codes == LaneBody.Avx2 && AvxVnni.IsSupported ? $"{Name(Floats)}+AVX-VNNI" : Name(Floats);

    /// <summary>Whether a body runs on this machine.</summary>
    public static bool IsSupported(LaneBody body) => body switch
    {
        LaneBody.Avx512 => Avx512F.IsSupported && Avx512BW.IsSupported,
        LaneBody.Avx2 => HasAvx2,
        _ => true,
    };

    private static string Name(LaneBody body) => body switch
    {
        LaneBody.Avx512 => "AVX-512",
        LaneBody.Avx2 => "AVX2",
        _ => "scalar",
    };
}
