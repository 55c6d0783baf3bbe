using Flint.Formats;

namespace Flint.Tests.Kernels;

/// <summary>Random blocks of a weight format whose scales are small and finite.</summary>
internal static unsafe class RandomWeights
{
    public static byte[] Rows(WeightType type, int rows, int columns, int seed)
    {
        var random = new Random(seed);
        byte[] bytes = new byte[rows * WeightTypes.RowBytes(type, columns)];
        random.NextBytes(bytes);
        int blockBytes = WeightTypes.BlockBytes(type);
        fixed (byte* p = bytes)
        {
            for (int at = 0; at < bytes.Length; at += blockBytes)
            {
                foreach (int offset in HalfOffsets(type)) *(Half*)(p + at + offset) = (Half)(random.NextSingle() * 0.02f - 0.01f);
                if (type == WeightType.F32) *(float*)(p + at) = random.NextSingle() - 0.5f;
                if (type == WeightType.F16) *(Half*)(p + at) = (Half)(random.NextSingle() - 0.5f);
                if (type == WeightType.BF16) *(ushort*)(p + at) = (ushort)(BitConverter.SingleToUInt32Bits(random.NextSingle() - 0.5f) >> 16);
            }
        }

        return bytes;
    }

    public static readonly WeightType[] Types =
    [
        WeightType.F32, WeightType.F16, WeightType.BF16, WeightType.Q8_0, WeightType.Q4_0, WeightType.Q4_1, WeightType.Q5_0,
        WeightType.Q5_1, WeightType.Q4_K, WeightType.Q5_K, WeightType.Q6_K,
    ];

    private static int[] HalfOffsets(WeightType type) => type switch
    {
        WeightType.Q8_0 or WeightType.Q4_0 or WeightType.Q5_0 => [0],
        WeightType.Q4_1 or WeightType.Q5_1 or WeightType.Q4_K or WeightType.Q5_K => [0, 2],
        WeightType.Q6_K => [208],
        _ => [],
    };
}
