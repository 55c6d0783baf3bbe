using System.Text;

namespace Flint.Tokens;

/// <summary>
/// The printable alphabet of byte-level BPE (GPT-2): each byte is written as one character, itself where it is printable
/// Latin-1, else U+0100 and up in order.
/// </summary>
internal static class ByteAlphabet
{
    private static readonly char[] Characters = BuildCharacters();
    private static readonly short[] BytesOf = BuildBytes();

    /// <summary>The character that stands for a byte.</summary>
    public static char CharOf(byte value) => Characters[value];

    /// <summary>The byte a character stands for, or -1 where it is not of the alphabet.</summary>
    public static int ByteOf(char c) => c < BytesOf.Length ? BytesOf[c] : -1;

    /// <summary>The bytes that a token's text stands for; characters outside the alphabet stand for their own UTF-8.</summary>
    public static byte[] Decode(string text)
    {
        int length = 0;
        var bytes = new byte[Encoding.UTF8.GetMaxByteCount(text.Length)];
        for (int i = 0; i < text.Length; i++)
        {
            int value = ByteOf(text[i]);
            if (value >= 0)
            {
                bytes[length++] = (byte)value;
                continue;
            }
            int units = char.IsHighSurrogate(text[i]) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]) ? 2 : 1;
            length += Encoding.UTF8.GetBytes(text.AsSpan(i, units), bytes.AsSpan(length));
            i += units - 1;
        }
        return bytes.AsSpan(0, length).ToArray();
    }

    /// <summary>The text that stands for some bytes.</summary>
    public static string Encode(ReadOnlySpan<byte> bytes)
    {
        var text = new char[bytes.Length];
        for (int i = 0; i < text.Length; i++) text[i] = Characters[bytes[i]];
        return new string(text);
    }

    private static char[] BuildCharacters()
    {
        var characters = new char[256];
        char next = '\u0100';
        for (int b = 0; b < 256; b++)
            characters[b] = b is >= '!' and <= '~' or >= 0xA1 and <= 0xAC or >= 0xAE ? (char)b : next++;
        return characters;
    }

    private static short[] BuildBytes()
    {
        var bytes = new short[Characters.Max() + 1];
        Array.Fill(bytes, (short)-1);
        for (int b = 0; b < 256; b++) bytes[Characters[b]] = (short)b;
        return bytes;
    }
}
