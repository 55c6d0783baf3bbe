using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;

namespace Flint.Tokens;

/// <summary>
/// Remembers the ids of short pieces: a fixed number of slots, the newest piece of a slot stays. Not for use by two threads at once.
/// </summary>
internal sealed class WordCache
{
    /// <summary>The longest piece that is kept, in UTF-16 code units.</summary>
    public const int LongestPiece = 16;

    /// <summary>The most ids that are kept for a piece.</summary>
    public const int MostIds = 6;

    private const int SlotBits = 14;

    [InlineArray(MostIds)]
    private struct Ids
    {
        private int _first;
    }

    // 64 bytes: a slot is one cache line.
    [StructLayout(LayoutKind.Sequential)]
    private struct Slot
    {
        public Vector256<ushort> Text;
        public int Length;
        public int Count;
        public Ids Ids;
    }

    // Sixteen units of ones, then sixteen of zeros: read from 16 - n on, it keeps n units.
    private static readonly ushort[] KeepMask = [.. Enumerable.Repeat(ushort.MaxValue, LongestPiece), .. new ushort[LongestPiece]];

    private readonly Slot[] _slots = new Slot[1 << SlotBits];

    /// <summary>A piece made ready for <see cref="TryGet"/> and <see cref="Put"/>.</summary>
    public readonly struct Key
    {
        internal readonly Vector256<ushort> Text;
        internal readonly int Length;
        internal readonly int Slot;

        internal Key(Vector256<ushort> text, int length)
        {
            Text = text;
            Length = length;
            Vector256<ulong> parts = text.AsUInt64();
            ulong hash = parts[0] * 0x9E3779B97F4A7C15ul ^ BitOperations.RotateLeft(parts[1] * 0xC2B2AE3D27D4EB4Ful, 23)
                ^ BitOperations.RotateLeft(parts[2] * 0x165667B19E3779F9ul, 41) ^ parts[3] * 0xD6E8FEB86659FD93ul ^ (ulong)length;
            hash ^= hash >> 32;
            Slot = (int)(hash * 0x9E3779B97F4A7C15ul >> (64 - SlotBits));
        }
    }

    /// <summary>The key of a piece of 1 to <see cref="LongestPiece"/> code units that begins at <paramref name="start"/>.</summary>
    public static Key KeyOf(ReadOnlySpan<char> text, int start, int length)
    {
        ReadOnlySpan<ushort> units = MemoryMarshal.Cast<char, ushort>(text);
        if (start + LongestPiece <= units.Length)
            return new Key(Vector256.LoadUnsafe(in units[start])
                & Vector256.LoadUnsafe(in KeepMask[LongestPiece - length]), length);
        Span<ushort> padded = stackalloc ushort[LongestPiece];
        padded.Clear();
        units.Slice(start, length).CopyTo(padded);
        return new Key(Vector256.LoadUnsafe(in padded[0]), length);
    }

    /// <summary>Appends the ids of a piece where they are known.</summary>
    public bool TryGet(in Key key, IdBuffer into)
    {
        ref Slot slot = ref _slots[key.Slot];
        if (slot.Length != key.Length || slot.Text != key.Text) return false;
        into.Add(((ReadOnlySpan<int>)slot.Ids)[..slot.Count]);
        return true;
    }

    /// <summary>Remembers the ids of a piece, at most <see cref="MostIds"/>.</summary>
    public void Put(in Key key, ReadOnlySpan<int> ids)
    {
        ref Slot slot = ref _slots[key.Slot];
        slot.Text = key.Text;
        slot.Length = key.Length;
        slot.Count = ids.Length;
        ids.CopyTo(slot.Ids);
    }
}
