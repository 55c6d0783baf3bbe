namespace Flint.Tokens;

/// <summary>How a pre-tokenizer cuts text into the pieces that merges never cross.</summary>
internal enum SplitKind
{
    /// <summary>GPT-2.</summary>
    Gpt2,

    /// <summary>Llama 3: case-insensitive contractions, numbers in threes.</summary>
    Llama3,

    /// <summary>Qwen 2: as Llama 3 with single digits.</summary>
    Qwen2,

    /// <summary>Qwen 3.5: as Qwen 2 with marks inside words.</summary>
    Qwen35,

    /// <summary>GPT-4o: words cut at capitals, contractions kept with them.</summary>
    Gpt4o,

    /// <summary>Mistral Tekken: as GPT-4o with single digits and no contractions.</summary>
    Tekken,

    /// <summary>DeepSeek LLM.</summary>
    DeepSeekLlm,

    /// <summary>DeepSeek Coder.</summary>
    DeepSeekCoder,

    /// <summary>DeepSeek V3 and R1.</summary>
    DeepSeekV3,

    /// <summary>Falcon.</summary>
    Falcon,

    /// <summary>StarCoder: single digits, then GPT-2.</summary>
    StarCoder,

    /// <summary>What a file without a pre-tokenizer name gets.</summary>
    Default,
}

/// <summary>
/// The pre-tokenizer of a byte-level BPE vocabulary, chosen by the file's <c>tokenizer.ggml.pre</c>.
/// Each is one or more passes; a pass cuts every piece of the one before.
/// </summary>
/// <param name="Kind">How text is cut.</param>
/// <param name="WholeWords">A piece that is itself a token is that token, whatever the merges say.</param>
/// <param name="AddsBos">Whether BOS is added where the file does not say.</param>
internal sealed record PreTokenizer(SplitKind Kind, bool WholeWords = false, bool AddsBos = false)
{
    private static readonly Dictionary<string, PreTokenizer> ByName = BuildNames();

    /// <summary>The pre-tokenizer of that name; <see langword="null"/> or empty gives <see cref="SplitKind.Default"/>.</summary>
    /// <exception cref="FlintException">Model file: the name is unknown.</exception>
    public static PreTokenizer Named(string? name)
    {
        if (string.IsNullOrEmpty(name)) return ByName["default"];
        return ByName.TryGetValue(name, out PreTokenizer? found)
            ? found
            : throw FlintException.File("unknown_pre_tokenizer",
                $"tokenizer.ggml.pre is '{name}', which is not a pre-tokenizer known here; known are {string.Join(", ", ByName.Keys)}");
    }

    /// <summary>Cuts a text. The pieces, in order, are the whole text.</summary>
    /// <param name="text">Text without lone surrogates.</param>
    /// <param name="classes">Its <see cref="CharClass"/> bits.</param>
    /// <param name="pieces">Receives the pieces.</param>
    /// <param name="spare">Working space.</param>
    public void Split(ReadOnlySpan<char> text, ReadOnlySpan<byte> classes, ref PieceList pieces, ref PieceList spare)
    {
        pieces.Clear();
        if (text.IsEmpty) return;
        pieces.Add(text.Length);
        foreach (SplitPass pass in PassesOf(Kind))
        {
            spare.Clear();
            int start = 0;
            foreach (int end in pieces.Ends)
            {
                SplitPasses.Run(pass, text, classes, start, end, spare);
                start = end;
            }
            (pieces, spare) = (spare, pieces);
        }
    }

    private static ReadOnlySpan<SplitPass> PassesOf(SplitKind kind) => kind switch
    {
        SplitKind.Gpt2 => [SplitPass.Gpt2Words],
        SplitKind.Llama3 => [SplitPass.Llama3Words],
        SplitKind.Qwen2 => [SplitPass.Qwen2Words],
        SplitKind.Qwen35 => [SplitPass.Qwen35Words],
        SplitKind.Gpt4o => [SplitPass.Gpt4oWords],
        SplitKind.Tekken => [SplitPass.TekkenWords],
        SplitKind.StarCoder => [SplitPass.Digit, SplitPass.Gpt2Words],
        SplitKind.Falcon => [SplitPass.FalconPunctuation, SplitPass.Gpt2Words, SplitPass.AsciiTriple],
        SplitKind.Default =>
            [SplitPass.DefaultPunctuation, SplitPass.Gpt2Words, SplitPass.DigitRun, SplitPass.AsciiTriple],
        SplitKind.DeepSeekLlm =>
        [
            SplitPass.Newline, SplitPass.DeepSeekLetters, SplitPass.DeepSeekPunctuation,
            SplitPass.TrailingSpace, SplitPass.DeepSeekIdeographs, SplitPass.DigitRun,
        ],
        SplitKind.DeepSeekCoder =>
        [
            SplitPass.Newline, SplitPass.SpacedLetters, SplitPass.SpacedPunctuation,
            SplitPass.DeepSeekIdeographs, SplitPass.Digit,
        ],
        SplitKind.DeepSeekV3 => [SplitPass.DigitTriple, SplitPass.IdeographsAndKana, SplitPass.DeepSeekV3Words],
        _ => throw new FlintException(FaultSide.Bug, "split_kind", $"no passes for {kind}"),
    };

    private static Dictionary<string, PreTokenizer> BuildNames()
    {
        var names = new Dictionary<string, PreTokenizer>(StringComparer.Ordinal);
        void Add(PreTokenizer pre, params ReadOnlySpan<string> all)
        {
            foreach (string name in all) names.Add(name, pre);
        }
        Add(new(SplitKind.Default), "default");
        Add(new(SplitKind.Llama3, WholeWords: true, AddsBos: true),
            "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "midm-2.0", "lfm2");
        Add(new(SplitKind.Llama3), "dbrx", "smaug-bpe", "glm4", "chatglm-bpe");
        Add(new(SplitKind.Gpt4o), "gpt-4o", "llama4", "kanana2", "minimax-m2");
        Add(new(SplitKind.Tekken, WholeWords: true, AddsBos: true), "tekken", "pixtral");
        Add(new(SplitKind.Qwen2), "qwen2", "deepseek-r1-qwen", "megrez", "stablelm2", "hunyuan", "solar-open", "grok-2");
        Add(new(SplitKind.Qwen35), "qwen35");
        Add(new(SplitKind.DeepSeekLlm), "deepseek-llm");
        Add(new(SplitKind.DeepSeekCoder), "deepseek-coder");
        Add(new(SplitKind.DeepSeekV3), "deepseek-v3", "hunyuan-dense", "joyai-llm");
        Add(new(SplitKind.Falcon), "falcon");
        Add(new(SplitKind.StarCoder),
            "starcoder", "refact", "command-r", "smollm", "codeshell", "exaone", "minerva-7b");
        Add(new(SplitKind.Gpt2),
            "gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "granite-docling", "exaone4", "gigachat", "mellum", "a.x-4.0",
            "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "modern-bert");
        return names;
    }
}
