using System.Text;
using Flint.Grammar;

namespace Flint.Tests.Grammar;

/// <summary>A vocabulary of all bytes and some tokens that reach over the borders of JSON's parts.</summary>
internal static class SmallVocabulary
{
    internal static readonly string[] Words =
    [
        "{\"", "\":", "\": ", "\", \"", "\"}", "\"]", "},", "}]", "]}", "[\"", ", ", ": ", "true", "false", "null", "name", "value", "abc", "12", "345", "0.", "é", "€uro", "日本", "\\n", "\\u00", "  ", "\n  ",
        "{\"name\": \"", "\"},{\"", "e-", "\"\"", "ab\"", "\"a", "a\",\"b",
    ];

    internal static readonly List<byte[]> Pieces =
    [
        .. Enumerable.Range(0, 256).Select(b => (byte[])[(byte)b]), .. Words.Select(Encoding.UTF8.GetBytes), "<|message|>"u8.ToArray(), "<|end|>"u8.ToArray(), [], "abc"u8.ToArray(),
    ];

    internal static readonly int Message = 256 + Words.Length;

    internal static bool IsControl(int token) => token == Message || token == Message + 1;

    internal static TokenVocabulary Create(bool stripsSpace = false) => new(Pieces.Count, token => Pieces[token], IsControl, ["<|message|>"], stripsSpace);

    internal static TokenGrammar Schema(string schema, bool isAnyOrder = false)
    {
        using System.Text.Json.JsonDocument document = System.Text.Json.JsonDocument.Parse(schema);
        return TokenGrammar.OfSchema(Create(), document.RootElement.Clone(), new JsonSchemaOptions { IsAnyOrder = isAnyOrder });
    }
}
