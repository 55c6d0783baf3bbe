using System.Text;
using System.Text.Unicode;
using Flint.Tokens;

namespace Flint.App.Api;

/// <summary>Tokens as log-probabilities name them.</summary>
internal static class TokenNames
{
    /// <summary>The text a token prints; where its bytes are no whole characters, <c>bytes:\xe2\x82</c>, as the OpenAI API writes them.</summary>
    public static string Of(Tokenizer tokenizer, int token)
    {
        ReadOnlySpan<byte> bytes = tokenizer.Bytes(token);
        if (Utf8.IsValid(bytes))
            return Encoding.UTF8.GetString(bytes);
        var name = new StringBuilder("bytes:");
        foreach (byte b in bytes)
            name.Append($"\\x{b:x2}");
        return name.ToString();
    }

    /// <summary>The lowest number that a log-probability is told as: JSON has no infinity.</summary>
    public static float Finite(float logprob) => float.IsFinite(logprob) ? logprob : -9999f;
}
