using Flint.Weights;

namespace Flint.Tokens;

/// <summary>Everything a <see cref="Tokenizer"/> is built from, as plain values.</summary>
internal sealed class VocabularySource
{
    /// <summary><c>gpt2</c> (byte-level BPE) or <c>llama</c> (SentencePiece BPE).</summary>
    public required string Model { get; init; }

    /// <summary>The pre-tokenizer of byte-level BPE.</summary>
    public string? Pre { get; init; }

    /// <summary>The text of each token.</summary>
    public required string[] Tokens { get; init; }

    /// <summary>The score of each token (SentencePiece).</summary>
    public float[]? Scores { get; init; }

    /// <summary>The type of each token; all normal where absent.</summary>
    public int[]? Types { get; init; }

    /// <summary>The merges in order, each "left right"; where absent, ids are ranks (tiktoken).</summary>
    public string[]? Merges { get; init; }

    /// <summary>
    /// A piece that is itself a token is that token, whatever the pre-tokenizer's name says; with it, merges may be absent.
    /// </summary>
    public bool WholeWords { get; init; }

    /// <summary>The model family; it decides what ends a message where names do not.</summary>
    public string Architecture { get; init; } = "";

    /// <summary>Beginning of sequence.</summary>
    public int? Bos { get; init; }

    /// <summary>End of sequence.</summary>
    public int? Eos { get; init; }

    /// <summary>End of turn.</summary>
    public int? Eot { get; init; }

    /// <summary>End of message.</summary>
    public int? Eom { get; init; }

    /// <summary>Padding.</summary>
    public int? Pad { get; init; }

    /// <summary>Unknown.</summary>
    public int? Unk { get; init; }

    /// <summary>Further ids at which generation ends (padding and separators of fill-in-the-middle).</summary>
    public int[] MoreEnds { get; init; } = [];

    /// <summary>Whether BOS is added; by the pre-tokenizer where absent.</summary>
    public bool? AddBos { get; init; }

    /// <summary>Whether EOS is added.</summary>
    public bool? AddEos { get; init; }

    /// <summary>Whether text begins with a space of its own (SentencePiece).</summary>
    public bool? AddSpacePrefix { get; init; }

    /// <summary>Whether runs of spaces become one and those at the ends go (SentencePiece).</summary>
    public bool RemoveExtraWhitespaces { get; init; }

    private static readonly string[] MoreEndKeys = ["fim_pad_token_id", "fim_rep_token_id", "fim_sep_token_id"];

    /// <summary>Reads <c>tokenizer.ggml.*</c>.</summary>
    /// <exception cref="FlintException">Model file: a key is missing, of the wrong type, or of the wrong length.</exception>
    public static VocabularySource FromGguf(GgufMetadata metadata)
    {
        const string prefix = "tokenizer.ggml.";
        string[] tokens = metadata.Get<string[]>(prefix + "tokens");
        return new VocabularySource
        {
            Model = metadata.Get<string>(prefix + "model"),
            Pre = metadata.GetOr<string?>(prefix + "pre", null),
            Tokens = tokens,
            Scores = metadata.GetOr<float[]?>(prefix + "scores", null),
            Types = metadata.GetOr<int[]?>(prefix + "token_type", null),
            Merges = metadata.GetOr<string[]?>(prefix + "merges", null),
            Architecture = metadata.GetOr("general.architecture", ""),
            Bos = Id("bos_token_id"),
            Eos = Id("eos_token_id"),
            Eot = Id("eot_token_id"),
            Eom = Id("eom_token_id"),
            Pad = Id("padding_token_id"),
            Unk = Id("unknown_token_id"),
            MoreEnds = [.. MoreEndKeys.Select(Id).OfType<int>()],
            AddBos = Flag("add_bos_token"),
            AddEos = Flag("add_eos_token"),
            AddSpacePrefix = Flag("add_space_prefix"),
            RemoveExtraWhitespaces = Flag("remove_extra_whitespaces") ?? false,
        };

        // Files in the wild write -1, or an id past the end, for "none".
        int? Id(string key) => metadata.Contains(prefix + key) && metadata.Get<long>(prefix + key) is long id
            && id >= 0 && id < tokens.Length ? (int)id : null;

        bool? Flag(string key) => metadata.Contains(prefix + key) ? metadata.Get<bool>(prefix + key) : null;
    }
}
