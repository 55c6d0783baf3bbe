using System.Text;
using System.Text.Json;
using System.Text.Unicode;
using Flint.Engine;
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

    /// <summary>Writes tokens with their log-probabilities and alternatives as an array; without a tokenizer there are none.</summary>
    public static void WriteScores(Utf8JsonWriter writer, ReadOnlySpan<byte> name, Tokenizer? tokenizer, IReadOnlyList<TokenScore> scores)
    {
        writer.WriteStartArray(name);
        foreach (TokenScore score in scores)
        {
            writer.WriteStartObject();
            WriteToken(writer, tokenizer!, score.Token, score.Logprob);
            writer.WriteStartArray("top_logprobs"u8);
            foreach (TopLogprob top in score.Top ?? [])
            {
                writer.WriteStartObject();
                WriteToken(writer, tokenizer!, top.Token, top.Logprob);
                writer.WriteEndObject();
            }

            writer.WriteEndArray();
            writer.WriteEndObject();
        }

        writer.WriteEndArray();
    }

    private static void WriteToken(Utf8JsonWriter writer, Tokenizer tokenizer, int token, float logprob)
    {
        writer.WriteString("token"u8, Of(tokenizer, token));
        writer.WriteNumber("logprob"u8, Finite(logprob));
        writer.WriteStartArray("bytes"u8);
        foreach (byte b in tokenizer.Bytes(token))
            writer.WriteNumberValue(b);
        writer.WriteEndArray();
    }
}
