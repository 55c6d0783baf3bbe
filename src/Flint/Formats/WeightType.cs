namespace Flint.Formats;

/// <summary>How the elements of a tensor are stored. The numbers are the type ids of GGUF.</summary>
public enum WeightType
{
    /// <summary>IEEE 754 binary32.</summary>
    F32 = 0,

    /// <summary>IEEE 754 binary16.</summary>
    F16 = 1,

    /// <summary>Blocks of 32: a scale and 4-bit values around 8.</summary>
    Q4_0 = 2,

    /// <summary>Blocks of 32: a scale, a minimum and 4-bit values.</summary>
    Q4_1 = 3,

    /// <summary>Blocks of 32: a scale and 5-bit values around 16.</summary>
    Q5_0 = 6,

    /// <summary>Blocks of 32: a scale, a minimum and 5-bit values.</summary>
    Q5_1 = 7,

    /// <summary>Blocks of 32: a scale and signed bytes.</summary>
    Q8_0 = 8,

    /// <summary>Blocks of 32: a scale, a scaled sum and signed bytes.</summary>
    Q8_1 = 9,

    /// <summary>Blocks of 256 in 16 groups: 4-bit scales and minima, 2-bit values.</summary>
    Q2_K = 10,

    /// <summary>Blocks of 256 in 16 groups: 6-bit scales, 3-bit values.</summary>
    Q3_K = 11,

    /// <summary>Blocks of 256 in 8 groups: 6-bit scales and minima, 4-bit values.</summary>
    Q4_K = 12,

    /// <summary>Blocks of 256 in 8 groups: 6-bit scales and minima, 5-bit values.</summary>
    Q5_K = 13,

    /// <summary>Blocks of 256 in 16 groups: 8-bit scales, 6-bit values around 32.</summary>
    Q6_K = 14,

    /// <summary>Blocks of 256: a binary32 scale, signed bytes and their sums.</summary>
    Q8_K = 15,

    /// <summary>Blocks of 256 from a codebook, 2.06 bits a weight.</summary>
    IQ2_XXS = 16,

    /// <summary>Blocks of 256 from a codebook, 2.31 bits a weight.</summary>
    IQ2_XS = 17,

    /// <summary>Blocks of 256 from a codebook, 3.06 bits a weight.</summary>
    IQ3_XXS = 18,

    /// <summary>Blocks of 256 from a codebook, 1.56 bits a weight.</summary>
    IQ1_S = 19,

    /// <summary>Blocks of 32: a scale and 4-bit indices of a fixed non-linear table.</summary>
    IQ4_NL = 20,

    /// <summary>Blocks of 256 from a codebook, 3.44 bits a weight.</summary>
    IQ3_S = 21,

    /// <summary>Blocks of 256 from a codebook, 2.56 bits a weight.</summary>
    IQ2_S = 22,

    /// <summary>Blocks of 256 in 8 groups: 6-bit scales and 4-bit indices of a fixed non-linear table.</summary>
    IQ4_XS = 23,

    /// <summary>Signed 8-bit integers.</summary>
    I8 = 24,

    /// <summary>Signed 16-bit integers.</summary>
    I16 = 25,

    /// <summary>Signed 32-bit integers.</summary>
    I32 = 26,

    /// <summary>Signed 64-bit integers.</summary>
    I64 = 27,

    /// <summary>IEEE 754 binary64.</summary>
    F64 = 28,

    /// <summary>Blocks of 256 from a codebook, 1.75 bits a weight.</summary>
    IQ1_M = 29,

    /// <summary>The upper half of IEEE 754 binary32.</summary>
    BF16 = 30,

    /// <summary>Blocks of 256 ternary values, 1.69 bits a weight.</summary>
    TQ1_0 = 34,

    /// <summary>Blocks of 256 ternary values, 2.06 bits a weight.</summary>
    TQ2_0 = 35,

    /// <summary>Blocks of 32: a power-of-two scale and 4-bit floats (OCP MXFP4).</summary>
    MXFP4 = 39,

    /// <summary>Blocks of 64 in 4 groups: 8-bit float scales and 4-bit floats (NVFP4).</summary>
    NVFP4 = 40,
}
