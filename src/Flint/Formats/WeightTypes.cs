using System.Runtime.CompilerServices;

namespace Flint.Formats;

/// <summary>Facts about <see cref="WeightType"/>s: names, block layouts, and decoding and encoding by type.</summary>
public static unsafe class WeightTypes
{
    private const float LargestBFloat = 3.3895314e38f;

    private readonly record struct Layout(string Name, int BlockLength, int BlockBytes);

    private static readonly Layout[] Layouts = CreateLayouts();

    /// <summary>Whether the type's layout is known, so that its size can be computed (not that it can be decoded).</summary>
    public static bool IsKnown(WeightType type) => (uint)type < (uint)Layouts.Length && Layouts[(int)type].BlockLength > 0;

    /// <summary>Whether tensors of the type can be decoded, encoded and computed with.</summary>
    public static bool IsSupported(WeightType type) => type is
        WeightType.F32 or WeightType.F16 or WeightType.BF16 or WeightType.Q8_0 or
        WeightType.Q4_0 or WeightType.Q4_1 or WeightType.Q5_0 or WeightType.Q5_1 or
        WeightType.Q4_K or WeightType.Q5_K or WeightType.Q6_K;

    /// <summary>The field's name of the type, such as <c>Q4_K</c>; <c>type 77</c> for an unknown id.</summary>
    public static string Name(WeightType type) => IsKnown(type) ? Layouts[(int)type].Name : $"type {(uint)type}";

    /// <summary>Elements per block.</summary>
    public static int BlockLength(WeightType type) => Of(type).BlockLength;

    /// <summary>Bytes per block.</summary>
    public static int BlockBytes(WeightType type) => Of(type).BlockBytes;

    /// <summary>Bytes of a row of <paramref name="n"/> elements, a multiple of the block length.</summary>
    public static long RowBytes(WeightType type, long n)
    {
        Layout layout = Of(type);
        if (n < 0 || n % layout.BlockLength != 0)
            throw new FlintException(FaultSide.Bug, "row_length", $"A row of {layout.Name} holds a multiple of {layout.BlockLength} elements, not {n}.");
        return checked(n / layout.BlockLength * layout.BlockBytes);
    }

    /// <summary>Decodes <paramref name="n"/> elements (a multiple of the block length) to binary32.</summary>
    /// <param name="type">The format; must be supported.</param>
    /// <param name="src">The row, <see cref="RowBytes"/> long; no alignment is needed.</param>
    /// <param name="dst">Room for <paramref name="n"/> floats.</param>
    /// <param name="n">The number of elements.</param>
    public static void DecodeRow(WeightType type, byte* src, float* dst, long n)
    {
        _ = RowBytes(type, n);
        switch (type)
        {
            case WeightType.F32: Unsafe.CopyBlockUnaligned(ref *(byte*)dst, ref *src, checked((uint)(n * sizeof(float)))); break;
            case WeightType.F16: DecodeBlocks<F16>(src, dst, n); break;
            case WeightType.BF16: DecodeBlocks<BF16>(src, dst, n); break;
            case WeightType.Q8_0: DecodeBlocks<Q8_0>(src, dst, n); break;
            case WeightType.Q4_0: DecodeBlocks<Q4_0>(src, dst, n); break;
            case WeightType.Q4_1: DecodeBlocks<Q4_1>(src, dst, n); break;
            case WeightType.Q5_0: DecodeBlocks<Q5_0>(src, dst, n); break;
            case WeightType.Q5_1: DecodeBlocks<Q5_1>(src, dst, n); break;
            case WeightType.Q4_K: DecodeBlocks<Q4_K>(src, dst, n); break;
            case WeightType.Q5_K: DecodeBlocks<Q5_K>(src, dst, n); break;
            case WeightType.Q6_K: DecodeBlocks<Q6_K>(src, dst, n); break;
            default: throw FlintException.File("unsupported_weight_type", $"Weights in {Name(type)} cannot be decoded.");
        }
    }

    /// <summary>
    /// The largest magnitude that weights in the type may have: where scales are kept in binary16, all that binary16 holds.
    /// </summary>
    public static float Largest(WeightType type) => type switch
    {
        WeightType.F32 => float.MaxValue,
        WeightType.BF16 => LargestBFloat,
        _ => (float)Half.MaxValue,
    };

    /// <summary>
    /// Encodes <paramref name="n"/> elements (a multiple of the block length) from binary32. The bytes depend on the values alone,
    /// not on the processor.
    /// </summary>
    /// <param name="type">The format; must be supported.</param>
    /// <param name="src">Finite floats of magnitude up to <see cref="Largest"/>.</param>
    /// <param name="dst">Room for the row, <see cref="RowBytes"/> long; no alignment is needed.</param>
    /// <param name="n">The number of elements.</param>
    public static void EncodeRow(WeightType type, float* src, byte* dst, long n)
    {
        _ = RowBytes(type, n);
        switch (type)
        {
            case WeightType.F32: Unsafe.CopyBlockUnaligned(ref *dst, ref *(byte*)src, checked((uint)(n * sizeof(float)))); break;
            case WeightType.F16: EncodeBlocks<F16>(src, dst, n); break;
            case WeightType.BF16: EncodeBlocks<BF16>(src, dst, n); break;
            case WeightType.Q8_0: EncodeBlocks<Q8_0>(src, dst, n); break;
            case WeightType.Q4_0: EncodeBlocks<Q4_0>(src, dst, n); break;
            case WeightType.Q4_1: EncodeBlocks<Q4_1>(src, dst, n); break;
            case WeightType.Q5_0: EncodeBlocks<Q5_0>(src, dst, n); break;
            case WeightType.Q5_1: EncodeBlocks<Q5_1>(src, dst, n); break;
            case WeightType.Q4_K: EncodeBlocks<Q4_K>(src, dst, n); break;
            case WeightType.Q5_K: EncodeBlocks<Q5_K>(src, dst, n); break;
            case WeightType.Q6_K: EncodeBlocks<Q6_K>(src, dst, n); break;
            default: throw FlintException.Caller("unsupported_weight_type", $"Weights cannot be encoded in {Name(type)}.");
        }
    }

    private static void EncodeBlocks<TFormat>(float* src, byte* dst, long n)
        where TFormat : struct, IWeightFormat
    {
        for (float* end = src + n; src < end; src += TFormat.BlockLength, dst += TFormat.BlockBytes)
            TFormat.Encode(src, dst);
    }

    private static void DecodeBlocks<TFormat>(byte* src, float* dst, long n)
        where TFormat : struct, IWeightFormat
    {
        for (float* end = dst + n; dst < end; dst += TFormat.BlockLength, src += TFormat.BlockBytes)
            TFormat.Decode(src, dst);
    }

    private static Layout Of(WeightType type)
    {
        if (!IsKnown(type))
            throw FlintException.File("unknown_weight_type", $"Unknown weight type {(uint)type}.");
        return Layouts[(int)type];
    }

    private static Layout[] CreateLayouts()
    {
        Layout[] layouts = new Layout[(int)WeightType.NVFP4 + 1];
        Add<F32>(layouts);
        Add<F16>(layouts);
        Add<BF16>(layouts);
        Add<Q8_0>(layouts);
        Add<Q4_0>(layouts);
        Add<Q4_1>(layouts);
        Add<Q5_0>(layouts);
        Add<Q5_1>(layouts);
        Add<Q4_K>(layouts);
        Add<Q5_K>(layouts);
        Add<Q6_K>(layouts);
        Add(layouts, WeightType.Q8_1, 32, 36);
        Add(layouts, WeightType.Q2_K, 256, 84);
        Add(layouts, WeightType.Q3_K, 256, 110);
        Add(layouts, WeightType.Q8_K, 256, 292);
        Add(layouts, WeightType.IQ2_XXS, 256, 66);
        Add(layouts, WeightType.IQ2_XS, 256, 74);
        Add(layouts, WeightType.IQ3_XXS, 256, 98);
        Add(layouts, WeightType.IQ1_S, 256, 50);
        Add(layouts, WeightType.IQ4_NL, 32, 18);
        Add(layouts, WeightType.IQ3_S, 256, 110);
        Add(layouts, WeightType.IQ2_S, 256, 82);
        Add(layouts, WeightType.IQ4_XS, 256, 136);
        Add(layouts, WeightType.IQ1_M, 256, 56);
        Add(layouts, WeightType.I8, 1, 1);
        Add(layouts, WeightType.I16, 1, 2);
        Add(layouts, WeightType.I32, 1, 4);
        Add(layouts, WeightType.I64, 1, 8);
        Add(layouts, WeightType.F64, 1, 8);
        Add(layouts, WeightType.TQ1_0, 256, 54);
        Add(layouts, WeightType.TQ2_0, 256, 66);
        Add(layouts, WeightType.MXFP4, 32, 17);
        Add(layouts, WeightType.NVFP4, 64, 36);
        return layouts;
    }

    private static void Add<TFormat>(Layout[] layouts)
        where TFormat : struct, IWeightFormat =>
        Add(layouts, TFormat.Type, TFormat.BlockLength, TFormat.BlockBytes);

    private static void Add(Layout[] layouts, WeightType type, int blockLength, int blockBytes) =>
        layouts[(int)type] = new Layout(type.ToString(), blockLength, blockBytes);
}
