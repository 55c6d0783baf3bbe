namespace Flint.Kernels;

/// <summary>How the keys and values of a sequence are kept. They are computed with in float32, whichever it is.</summary>
public enum KvFormat
{
    /// <summary>float32: what was computed, 4 bytes a number.</summary>
    F32,

    /// <summary>IEEE half precision, 2 bytes a number: rounded to nearest even, magnitudes above 65,504 as that.</summary>
    F16,

    /// <summary>8-bit integers with one float32 scale for each 32 numbers of a head, 1.125 bytes a number.</summary>
    Q8,
}
