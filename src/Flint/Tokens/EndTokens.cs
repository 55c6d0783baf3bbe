namespace Flint.Tokens;

/// <summary>
/// Which tokens end a generation. Files name one end of sequence and often no end of turn, so the well-known texts are looked up.
/// </summary>
internal static class EndTokens
{
    // In the order in which they are taken as the end of turn.
    private static readonly string[] EndOfTurn =
    [
        "<|eot_id|>", "<|eot|>", "<|im_end|>", "<end_of_turn>", "<|end|>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>",
        "[EOT]", "<｜end▁of▁sentence｜>", "<end_of_utterance>",
    ];

    private static readonly string[] OtherEnds =
    [
        "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<|eom_id|>", "[EOS]", "<eos>",
        "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]",
        "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>", "<|file_sep|>",
    ];

    /// <summary>Whether a token of that text is a control token, whatever type the file gives it.</summary>
    public static bool IsControlName(string text) => EndOfTurn.Contains(text) || OtherEnds.Contains(text);

    /// <summary>The end of turn by name, where the file does not give one.</summary>
    public static int? FindEndOfTurn(Vocabulary vocabulary)
    {
        foreach (string name in EndOfTurn)
            if (vocabulary.ByText.TryGetValue(name, out int id) && !ClosesMessageOnly(vocabulary, name)) return id;
        return null;
    }

    /// <summary>The end of message by name, where the file does not give one.</summary>
    public static int? FindEndOfMessage(Vocabulary vocabulary) =>
        vocabulary.ByText.TryGetValue("<|eom_id|>", out int id) || vocabulary.ByText.TryGetValue("<|eom|>", out id) ? id : null;

    /// <summary>
    /// All ids that end a generation. <c>&lt;|eom|&gt;</c> ends one in Llama 4; in Muse Glimmer it stands between reasoning and
    /// answer and must not.
    /// </summary>
    public static HashSet<int> Collect(Vocabulary vocabulary, string architecture, int? eos, int? eot, int? eom, ReadOnlySpan<int> more)
    {
        var ends = new HashSet<int>();
        foreach (string name in EndOfTurn.Concat(OtherEnds))
            if (vocabulary.ByText.TryGetValue(name, out int id) && !ClosesMessageOnly(vocabulary, name)) ends.Add(id);
        // Many vocabularies hold </s> as ordinary mark-up.
        if (vocabulary.ByText.TryGetValue("</s>", out int s) && vocabulary.Type(s) == TokenType.Control) ends.Add(s);
        foreach (int id in more) ends.Add(id);
        if (eos is int e) ends.Add(e);
        if (eot is int t) ends.Add(t);
        if (eom is int m && (vocabulary.Text(m) != "<|eom|>" || architecture == "llama4")) ends.Add(m);
        return ends;
    }

    // In Harmony and Solar, <|end|> closes a message, and a call or return closes the turn.
    private static bool ClosesMessageOnly(Vocabulary vocabulary, string name)
    {
        bool Has(string text) => vocabulary.ByText.ContainsKey(text);
        return name == "<|end|>" && ((Has("<|return|>") && Has("<|call|>")) || (Has("<|flush|>") && Has("<|calls|>")));
    }
}
