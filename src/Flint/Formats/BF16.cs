using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// The upper 16 bits of IEEE 754 binary32, stored plainly.
/// </summary>
public readonly unsafe struct BF16 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.BF16;

    /// <inheritdoc/>
    public static int BlockLength => 1;

    /// <inheritdoc/>
    public static int BlockBytes => 2;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst) => *(uint*)dst = (uint)*(ushort*)block << 16;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Encode(float* src, byte* block)
    {
        // Half a unit of the last bit kept, and one bit more where that is odd: ties go to even.
        uint bits = *(uint*)src;
        *(ushort*)block = (ushort)(bits + 0x7FFF + (bits >> 16 & 1) >> 16);
    }
}
