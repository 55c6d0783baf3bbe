using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>Which body a kernel runs in.</summary>
internal enum LaneBody
{
    Scalar,
    Avx2,
    Avx512,

    /// <summary>Of the 8-bit kernels alone: emitted tiles (<see cref="TileSet"/>) for two rows and more, <see cref="Isa.OneRow"/> for one.</summary>
    Emitted,
}

/// <summary>The instruction sets of this machine, and the bodies chosen for them.</summary>
internal static class Isa
{
    /// <summary>The environment variable that, set to 0, turns off the emission of machine code.</summary>
    public const string EmissionVariable = "FLINT_EMIT";

    /// <summary>The body of the float kernels.</summary>
    public static LaneBody Floats { get; } =
        Avx512F.IsSupported && Avx512BW.IsSupported ? LaneBody.Avx512 : HasAvx2 ? LaneBody.Avx2 : LaneBody.Scalar;

    /// <summary>The body of the 8-bit kernels for one row: two 256-bit halves where only those have the byte dot product.</summary>
    public static LaneBody OneRow { get; } = HasAvx2 && AvxVnni.IsSupported ? LaneBody.Avx2 : Floats;

    /// <summary>The body of the 8-bit kernels.</summary>
    public static LaneBody Codes => TileSet.OfThisMachine is null ? OneRow : LaneBody.Emitted;

    /// <summary>Whether the processor and the system have AVX512-VNNI, which .NET 10 knows in its 256-bit form only.</summary>
    public static bool HasVnni512 { get; } =
        Floats == LaneBody.Avx512 && X86Base.CpuId(0, 0).Eax >= 7 && (X86Base.CpuId(7, 0).Ecx & 1 << 11) != 0;

    /// <summary>Whether machine code may be emitted.</summary>
    public static bool AllowsEmission { get; } = Environment.GetEnvironmentVariable(EmissionVariable) != "0";

    private static bool HasAvx2 => Avx2.IsSupported && Fma.IsSupported;

    /// <summary>A few words for a person: what the kernels run on.</summary>
    public static string Description
    {
        get
        {
            if (TileSet.OfThisMachine is not null) return $"{Name(Floats)}+VNNI by emitted code";
            string bodies = OneRow == LaneBody.Avx2 && AvxVnni.IsSupported ? $"{Name(Floats)}+AVX-VNNI" : Name(Floats);
            return HasVnni512 ? $"{bodies} ({TileSet.Refusal})" : bodies;
        }
    }

    /// <summary>Whether a body runs on this machine.</summary>
    public static bool IsSupported(LaneBody body) => body switch
    {
        LaneBody.Emitted => TileSet.OfThisMachine is not null,
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
