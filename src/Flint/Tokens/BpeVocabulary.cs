using Flint.Weights;

namespace Flint.Tokens;

/// <summary>A byte-level BPE vocabulary: the tokens by id and the merges in order, as a GGUF file holds them.</summary>
public sealed class BpeVocabulary
{
    private const string Prefix = "tokenizer.ggml.";

    // Which key names which control token, for those that a vocabulary has. <|eom|> has none: engines take a token so named for
    // the end of a generation, which it is not.
    private static readonly (string Key, string[] Texts)[] Roles =
    [
        ("bos_token_id", ["<|begin_of_text|>"]),
        ("eos_token_id", ["<|end_of_text|>", "<|endoftext|>"]),
        ("eot_token_id", ["<|eot|>", "<|eot_id|>", "<|im_end|>"]),
        ("eom_token_id", ["<|eom_id|>"]),
        ("padding_token_id", ["<|finetune_right_pad|>", "<|finetune_right_pad_id|>"]),
    ];

    private readonly string _pre;
    private readonly string[] _tokens;
    private readonly int[] _types;
    private readonly string[] _merges;

    internal BpeVocabulary(string pre, string[] tokens, int[] types, string[] merges)
    {
        _pre = pre;
        _tokens = tokens;
        _types = types;
        _merges = merges;
    }

    /// <summary>How many tokens there are.</summary>
    public int Count => _tokens.Length;

    /// <summary>The text of each token, in the byte alphabet; of control tokens as it stands.</summary>
    public IReadOnlyList<string> Tokens => _tokens;

    /// <summary>The merges in order, each "left right".</summary>
    public IReadOnlyList<string> Merges => _merges;

    /// <summary>The tokenizer's metadata of a GGUF file: <c>tokenizer.ggml.*</c>, without a chat template.</summary>
    public IEnumerable<KeyValuePair<string, object>> Metadata()
    {
        yield return new(Prefix + "model", "gpt2");
        yield return new(Prefix + "pre", _pre);
        yield return new(Prefix + "tokens", _tokens);
        yield return new(Prefix + "token_type", _types);
        yield return new(Prefix + "merges", _merges);
        bool hasBos = false;
        foreach ((string key, string[] texts) in Roles)
        {
            int id = texts.Select(text => Array.IndexOf(_tokens, text)).FirstOrDefault(at => at >= 0, -1);
            if (id < 0 || _types[id] != (int)TokenType.Control) continue;
            hasBos |= key == "bos_token_id";
            yield return new(Prefix + key, (uint)id);
        }
        yield return new(Prefix + "add_bos_token", hasBos);
        yield return new(Prefix + "add_sep_token", false);
    }

    /// <summary>The tokenizer that a file with this vocabulary has.</summary>
    /// <param name="architecture">The model family, which decides what ends a message.</param>
    public Tokenizer CreateTokenizer(string architecture)
    {
        var metadata = new GgufMetadata("the vocabulary");
        metadata.TryAdd("general.architecture", architecture);
        foreach ((string key, object value) in Metadata()) metadata.TryAdd(key, value);
        return Tokenizer.FromGguf(metadata);
    }
}
