using System.Text;

namespace Flint.Tokens;

/// <summary>What a token is, as <c>tokenizer.ggml.token_type</c> numbers it.</summary>
internal enum TokenType : byte
{
    /// <summary>Not said.</summary>
    Undefined = 0,

    /// <summary>A piece of text.</summary>
    Normal = 1,

    /// <summary>The unknown token.</summary>
    Unknown = 2,

    /// <summary>A control token: text never becomes it unless the caller asks.</summary>
    Control = 3,

    /// <summary>Text that is always one token, whatever stands around it.</summary>
    UserDefined = 4,

    /// <summary>Not used by the model.</summary>
    Unused = 5,

    /// <summary>One byte, written &lt;0xXX&gt;.</summary>
    Byte = 6,
}

/// <summary>The tokens of a model: id ↔ text, type, and the bytes each prints.</summary>
internal sealed class Vocabulary
{
    /// <summary>What SentencePiece writes for a space, U+2581.</summary>
    public const char SpaceMark = '\u2581';

    private readonly string[] _texts;
    private readonly TokenType[] _types;
    private readonly Dictionary<string, int> _byText;
    private readonly byte[] _bytes;
    private readonly int[] _starts;

    /// <summary>Builds the vocabulary.</summary>
    /// <param name="texts">The text of each token, in the vocabulary's own writing (byte alphabet, or U+2581 for a space).</param>
    /// <param name="types">The type of each token, or <see langword="null"/> for all normal.</param>
    /// <param name="sentencePiece">Which writing it is.</param>
    public Vocabulary(string[] texts, int[]? types, bool sentencePiece)
    {
        _texts = texts;
        _types = new TokenType[texts.Length];
        _byText = new Dictionary<string, int>(texts.Length, StringComparer.Ordinal);
        _starts = new int[texts.Length + 1];
        for (int i = 0; i < texts.Length; i++)
        {
            _types[i] = types is null ? TokenType.Normal : types[i] is >= 0 and <= 6 ? (TokenType)types[i] : TokenType.Undefined;
            if (texts[i].Length > 0) _byText[texts[i]] = i;
        }
        using var bytes = new MemoryStream(texts.Length * 8);
        for (int i = 0; i < texts.Length; i++)
        {
            bytes.Write(Print(texts[i], _types[i], sentencePiece));
            _starts[i + 1] = (int)bytes.Length;
        }
        _bytes = bytes.ToArray();
    }

    /// <summary>How many tokens there are.</summary>
    public int Count => _texts.Length;

    /// <summary>Text to id.</summary>
    public Dictionary<string, int> ByText => _byText;

    /// <summary>The text of a token.</summary>
    public string Text(int id) => _texts[id];

    /// <summary>The type of a token.</summary>
    public TokenType Type(int id) => _types[id];

    /// <summary>Makes a token a control token, where a file says otherwise of one that ends a turn.</summary>
    public void MakeControl(int id) => _types[id] = TokenType.Control;

    /// <summary>The bytes a token prints.</summary>
    public ReadOnlySpan<byte> Bytes(int id) => _bytes.AsSpan(_starts[id].._starts[id + 1]);

    /// <summary>The byte that a token text such as &lt;0x0A&gt; names, or -1.</summary>
    public static int NamedByte(string text) =>
        text.Length == 6 && text.StartsWith("<0x", StringComparison.Ordinal) && text[5] == '>'
        && byte.TryParse(text.AsSpan(3, 2), System.Globalization.NumberStyles.AllowHexSpecifier, null, out byte value) ? value : -1;

    private static byte[] Print(string text, TokenType type, bool sentencePiece)
    {
        if (type == TokenType.Byte && NamedByte(text) is >= 0 and int value) return [(byte)value];
        if (type is TokenType.Control or TokenType.Unknown) return Encoding.UTF8.GetBytes(text);
        if (sentencePiece) return Encoding.UTF8.GetBytes(text.Replace(SpaceMark, ' '));
        return type == TokenType.UserDefined ? Encoding.UTF8.GetBytes(text) : ByteAlphabet.Decode(text);
    }
}
