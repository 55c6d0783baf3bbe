using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>
/// 32 weights in 34 bytes: scale d (binary16), then 32 signed bytes q. A weight is d·q.
/// </summary>
public readonly unsafe struct Q8_0 : IWeightFormat
{
    /// <inheritdoc/>
    public static WeightType Type => WeightType.Q8_0;

    /// <inheritdoc/>
    public static int BlockLength => 32;

    /// <inheritdoc/>
    public static int BlockBytes => 34;

    /// <inheritdoc/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Decode(byte* block, float* dst)
    {
        float d = (float)*(Half*)block;
        sbyte* q = (sbyte*)block + 2;
        for (int i = 0; i < 32; i++)
            dst[i] = q[i] * d;
    }

    /// <inheritdoc/>
    public static void Encode(float* src, byte* block)
    {
        Half d = ScaleSearch.Stored(MathF.Abs(ScaleSearch.Extreme(src, 32)) / 127);
        *(Half*)block = d;
        byte* levels = stackalloc byte[32];
        ScaleSearch.Levels(src, levels, 32, (float)d, 0, -127, 127);
        sbyte* q = (sbyte*)block + 2;
        for (int i = 0; i < 32; i++)
            q[i] = (sbyte)(levels[i] - 127);
    }
}
