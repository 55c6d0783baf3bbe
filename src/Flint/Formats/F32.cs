using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// IEEE 754 binary32, stored plainly.
/// </summary>
public readonly unsafe struct F32 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.F32;

    /// <inheritdoc/>
    public static int BlockLength => 1;

    /// <inheritdoc/>
    public static int BlockBytes => 4;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst) => *dst = *(float*)block;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Encode(float* src, byte* block) => *(float*)block = *src;
}
