using System.Text;
using Flint.Engine;

namespace Flint.Tests.Simulation;

/// <summary>Small vocabularies for tests.</summary>
internal static class Vocabularies
{
    /// <summary>Ends generation.</summary>
    public const int End = 0;

    /// <summary>A special token that does not.</summary>
    public const int Channel = 1;

    /// <summary>
    /// Two special tokens, the two bytes of é and the three of € apart, an empty token, short runs of letters, and whole words.
    /// </summary>
    public static TokenTable Mixed(int count = 64)
    {
        var pieces = new List<byte[]>
        {
            "<end>"u8.ToArray(), "<channel>"u8.ToArray(), new byte[] { 0xC3 }, new byte[] { 0xA9 },
            new byte[] { 0xE2 }, new byte[] { 0x82 }, new byte[] { 0xAC }, Array.Empty<byte>(),
        };
        string[] words = ["a", "b", "c", "ab", "bc", "abc", " a", " b", "aa", "stop", "st", "op", "\n", "é", "€", "🔥"];
        foreach (string word in words)
            pieces.Add(Encoding.UTF8.GetBytes(word));
        for (int i = pieces.Count; i < count; i++)
            pieces.Add(Encoding.UTF8.GetBytes($"{(char)('d' + i % 20)}{(i % 3 == 0 ? " " : "")}"));
        return new TokenTable(
            pieces, new HashSet<int> { End, Channel }, new HashSet<int> { End },
            new HashSet<int> { End, Channel }, stripsSpace: true);
    }
}
