namespace Flint.Grammar;

/// <summary>Bytes in groups, a bit each, with which it is told of many bytes at once what they are; and what is known of bytes of UTF-8 (RFC 3629).</summary>
internal static class ByteGroups
{
    /// <summary>Bytes of characters that have several, where they are whole or the text ends within them.</summary>
    public const ulong BeyondAscii = 1UL << 62;

    /// <summary>Bytes that no text has there.</summary>
    public const ulong Invalid = 1UL << 63;

    private const string Single = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \"\\_-.";

    private static readonly ulong[] Groups = Make();

    /// <summary>The group of a byte.</summary>
    public static ulong Of(byte value) => Groups[value];

    /// <summary>The bytes of a character that begins with one; 0 where none does.</summary>
    public static int Length(byte lead) => lead switch { < 0x80 => 1, < 0xC2 => 0, < 0xE0 => 2, < 0xF0 => 3, < 0xF5 => 4, _ => 0 };

    /// <summary>What the second byte of a character may be.</summary>
    public static (int Low, int High) Second(byte lead) => lead switch
    {
        0xE0 => (0xA0, 0xBF),
        0xED => (0x80, 0x9F),
        0xF0 => (0x90, 0xBF),
        0xF4 => (0x80, 0x8F),
        _ => (0x80, 0xBF),
    };

    private static ulong[] Make()
    {
        var groups = new ulong[256];
        for (int b = 0; b < 256; b++)
        {
            int single = Single.IndexOf((char)b);
            int group = b >= 0x80 ? 62 : single >= 0 ? single : b is >= '0' and <= '9' ? 58 : b is < 0x20 or 0x7F ? 59 : b is '@' ? 60 : 61;
            groups[b] = 1UL << group;
        }

        return groups;
    }
}
