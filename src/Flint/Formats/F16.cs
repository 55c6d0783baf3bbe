using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// IEEE 754 binary16, stored plainly.
/// </summary>
public readonly unsafe struct F16 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.F16;

    /// <inheritdoc/>
    public static int BlockLength => 1;

    /// <inheritdoc/>
    public static int BlockBytes => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst) => *dst = (float)*(Half*)block;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Encode(float* src, byte* block) => *(Half*)block = (Half)(*src);
}
