using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics.X86;

namespace Flint.Kernels;

/// <summary>
/// One head's keys or values in a page of 32 tokens. Keys stand <c>[dim][token]</c>, values <c>[token][dim]</c>; in
/// <see cref="KvFormat.Q8"/> behind their scales, <c>[block of 32 dims][token]</c>. Attention computes with a page widened to
/// float32, the same bits whatever reads it.
/// </summary>
internal static unsafe class KvPages
{
    /// <summary>Tokens a page holds.</summary>
    public const int Tokens = 32;

    private const int BlockLength = 32;
    private const int CacheLine = 64;
    private const int LargestCode = 127;
    private const float LargestHalf = 65504;

    // A half's bits 13 places higher are a float with an exponent 112 too small.
    private const int HalfShift = 13;
    private const int HalfBits = unchecked((int)0x8FFFE000);
    private const float HalfFactor = 5.192296858534828e33f; // 2^112

    /// <summary>Bytes of a head's keys or values in a page, a multiple of a cache line.</summary>
    public static long Bytes(KvFormat format, int length) => format switch
    {
        KvFormat.F32 => (long)length * Tokens * sizeof(float),
        KvFormat.F16 => (long)length * Tokens * sizeof(ushort),
        _ => ScaleBytes(length) + ((long)length * Tokens + CacheLine - 1) / CacheLine * CacheLine,
    };

    /// <summary>Writes one token's key.</summary>
    public static void PutKey(KvFormat format, float* key, int length, byte* page, int slot) =>
        Put(format, key, length, page, slot, first: slot, step: Tokens);

    /// <summary>Writes one token's value.</summary>
    public static void PutValue(KvFormat format, float* value, int length, byte* page, int slot) =>
        Put(format, value, length, page, slot, first: slot * length, step: 1);

    /// <summary>Widens a page's keys to float32, and asks for those of the page that comes next.</summary>
    public static void WidenKeys<TLanes>(KvFormat format, byte* page, byte* next, int length, float* keys)
        where TLanes : struct, ILanes<TLanes>
    {
        if (format == KvFormat.F16)
        {
            WidenHalves<TLanes>((short*)page, next, length * Tokens, keys);
            return;
        }

        Ask(next, Bytes(format, length));
        var scales = (float*)page;
        var codes = (sbyte*)(page + ScaleBytes(length));
        for (int d = 0; d < length; d++, codes += Tokens, keys += Tokens)
        {
            float* scale = scales + d / BlockLength * Tokens;
            TLanes.Store(TLanes.Mul(TLanes.ToFloat(TLanes.LoadI8(codes)), TLanes.Load(scale)), keys);
            TLanes.Store(TLanes.Mul(TLanes.ToFloat(TLanes.LoadI8(codes + 16)), TLanes.Load(scale + 16)), keys + 16);
        }
    }

    /// <summary>Widens a page's values to float32, and asks for those of the page that comes next.</summary>
    public static void WidenValues<TLanes>(KvFormat format, byte* page, byte* next, int length, float* values)
        where TLanes : struct, ILanes<TLanes>
    {
        if (format == KvFormat.F16)
        {
            WidenHalves<TLanes>((short*)page, next, length * Tokens, values);
            return;
        }

        Ask(next, Bytes(format, length));
        var scales = (float*)page;
        var codes = (sbyte*)(page + ScaleBytes(length));
        for (int t = 0; t < Tokens; t++, codes += length, values += length)
        {
            int d = 0;
            for (; d + 16 <= length; d += 16)
                TLanes.Store(TLanes.Mul(TLanes.ToFloat(TLanes.LoadI8(codes + d)), TLanes.Broadcast(scales[d / BlockLength * Tokens + t])), values + d);
            for (; d < length; d++) values[d] = codes[d] * scales[d / BlockLength * Tokens + t];
        }
    }

    /// <summary>Asks for bytes that are needed soon. Pages lie anywhere, which no prefetcher foresees.</summary>
    public static void Ask(byte* from, long count)
    {
        if (!Sse.IsSupported) return;
        for (byte* end = from + count; from < end; from += CacheLine) Sse.Prefetch1(from);
    }

    private static long ScaleBytes(int length) => (length + BlockLength - 1L) / BlockLength * Tokens * sizeof(float);

    private static void Put(KvFormat format, float* from, int length, byte* page, int slot, int first, int step)
    {
        switch (format)
        {
            case KvFormat.F32:
                float* floats = (float*)page + first;
                for (int d = 0; d < length; d++) floats[d * step] = from[d];
                break;
            case KvFormat.F16:
                Half* halves = (Half*)page + first;
                for (int d = 0; d < length; d++) halves[d * step] = (Half)Math.Clamp(from[d], -LargestHalf, LargestHalf);
                break;
            default:
                var codes = (sbyte*)(page + ScaleBytes(length)) + first;
                for (int start = 0; start < length; start += BlockLength)
                {
                    int end = Math.Min(length, start + BlockLength);
                    float most = 0;
                    for (int d = start; d < end; d++) most = Math.Max(most, Math.Abs(from[d]));
                    float scale = most / LargestCode, inverse = most == 0 ? 0 : LargestCode / most;
                    ((float*)page)[start / BlockLength * Tokens + slot] = scale;
                    for (int d = start; d < end; d++) codes[d * step] = (sbyte)MathF.Round(from[d] * inverse);
                }

                break;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void WidenHalves<TLanes>(short* from, byte* next, int count, float* to)
        where TLanes : struct, ILanes<TLanes>
    {
        TLanes kept = TLanes.Broadcast(HalfBits), factor = TLanes.Broadcast(HalfFactor);
        for (float* end = to + count; to < end; from += 32, to += 32, next += CacheLine)
        {
            if (Sse.IsSupported) Sse.Prefetch1(next);
            TLanes.Store(TLanes.Mul(TLanes.And(TLanes.ShiftLeft(TLanes.LoadI16(from), HalfShift), kept), factor), to);
            TLanes.Store(TLanes.Mul(TLanes.And(TLanes.ShiftLeft(TLanes.LoadI16(from + 16), HalfShift), kept), factor), to + 16);
        }
    }
}
