namespace Flint.Weights;

/// <summary>Whose special tokens and chat format a synthetic model uses.</summary>
internal enum SynthDialect
{
    /// <summary>Llama 3.</summary>
    Llama3,

    /// <summary>ChatML.</summary>
    ChatMl,

    /// <summary>Muse Glimmer.</summary>
    MuseGlimmer,
}

/// <summary>
/// A valid byte-level BPE vocabulary of any size: the 256 bytes, then merged pairs (numbers, spaces, strings of up to four letters, each
/// the merge of two tokens before it), then the special tokens.
/// </summary>
internal static class SynthTokenizer
{
    private const int Normal = 1, Control = 3;
    private const string Letters = "abcdefghijklmnopqrstuvwxyz";

    private sealed record Specials(string Pre, int Count, Dictionary<int, string> Names, int Bos, int Eos, int Eot, int Padding, bool AddBos, string Template);

    /// <summary>Writes the tokenizer's metadata.</summary>
    public static void AddMetadata(GgufWriter writer, SynthDialect dialect, int vocabulary)
    {
        Specials specials = Of(dialect);
        int first = vocabulary - specials.Count;
        List<string> tokens = new(vocabulary);
        List<string> merges = new(first - 256);
        AddWords(tokens, merges, first);
        for (int i = 0; i < specials.Count; i++)
            tokens.Add(specials.Names.GetValueOrDefault(i) ?? $"<|reserved_special_token_{i}|>");
        int[] types = new int[vocabulary];
        Array.Fill(types, Normal, 0, first);
        Array.Fill(types, Control, first, specials.Count);

        writer.Add("tokenizer.ggml.model", "gpt2");
        writer.Add("tokenizer.ggml.pre", specials.Pre);
        writer.Add("tokenizer.ggml.tokens", tokens.ToArray());
        writer.Add("tokenizer.ggml.token_type", types);
        writer.Add("tokenizer.ggml.merges", merges.ToArray());
        writer.Add("tokenizer.ggml.bos_token_id", (uint)(first + specials.Bos));
        writer.Add("tokenizer.ggml.eos_token_id", (uint)(first + specials.Eos));
        writer.Add("tokenizer.ggml.eot_token_id", (uint)(first + specials.Eot));
        writer.Add("tokenizer.ggml.padding_token_id", (uint)(first + specials.Padding));
        writer.Add("tokenizer.ggml.add_bos_token", specials.AddBos);
        writer.Add("tokenizer.chat_template", specials.Template);
    }

    private static Specials Of(SynthDialect dialect) => dialect switch
    {
        SynthDialect.Llama3 => new("llama-bpe", 256, new()
        {
            [0] = "<|begin_of_text|>", [1] = "<|end_of_text|>", [4] = "<|finetune_right_pad_id|>", [6] = "<|start_header_id|>",
            [7] = "<|end_header_id|>", [8] = "<|eom_id|>", [9] = "<|eot_id|>", [10] = "<|python_tag|>",
        }, 0, 1, 9, 4, true, SynthTemplates.Llama3),
        SynthDialect.ChatMl => new("qwen2", 64, new()
        {
            [0] = "<|endoftext|>", [1] = "<|im_start|>", [2] = "<|im_end|>",
        }, 0, 2, 2, 0, false, SynthTemplates.ChatMl),
        _ => new("llama4", 2048, new()
        {
            [0] = "<|begin_of_text|>", [1] = "<|end_of_text|>", [7] = "<|eom|>", [8] = "<|eot|>", [18] = "<|finetune_right_pad|>",
            [22] = "<|start|>", [23] = "<|message|>", [80] = "<|image_start|>", [81] = "<|image_end|>", [82] = "<|vid_start|>",
            [83] = "<|vid_end|>", [87] = "<|vid_frame_separator|>", [90] = "<|image|>", [91] = "<|video|>", [92] = "<|patch|>",
        }, 0, 1, 8, 18, true, SynthTemplates.MuseGlimmer),
    };

    private static void AddWords(List<string> tokens, List<string> merges, int count)
    {
        AddBytes(tokens, out string space, out string newline);
        void Add(string left, string right)
        {
            if (tokens.Count == count)
                return;
            tokens.Add(left + right);
            merges.Add($"{left} {right}");
        }

        foreach (string blank in (string[])[space, newline])
        {
            for (string run = blank; run.Length < 16; run += run)
                Add(run, run);
        }
        for (int i = 0; i < 100; i++)
            Add($"{i / 10}", $"{i % 10}");
        for (int i = 0; i < 1000; i++)
            Add($"{i / 10:D2}", $"{i % 10}");
        foreach (char a in Letters)
            Add(space, $"{a}");
        string[] pairs = [.. Letters.SelectMany(a => Letters.Select(b => $"{a}{b}"))];
        foreach (string pair in pairs)
            Add(pair[..1], pair[1..]);
        foreach (string start in (string[])["", space])
        {
            foreach (string pair in pairs)
            {
                if (start.Length > 0)
                    Add(start + pair[..1], pair[1..]);
            }
            foreach (string pair in pairs)
            {
                foreach (char c in Letters)
                    Add(start + pair, $"{c}");
            }
        }
        // Pairs of pairs, spread over the alphabet: the step shares no factor with their number.
        const long step = 200_003;
        long four = (long)pairs.Length * pairs.Length;
        for (long i = 0; i < four && tokens.Count < count; i++)
        {
            int index = (int)(i * step % four);
            Add(pairs[index / pairs.Length], pairs[index % pairs.Length]);
        }
    }

    // Byte-level BPE writes every byte as a visible character: itself where it is one, else the next free one from U+0100 on.
    private static void AddBytes(List<string> tokens, out string space, out string newline)
    {
        string[] names = new string[256];
        int next = 256;
        for (int b = 0; b < 256; b++)
        {
            bool visible = b is (> ' ' and <= '~') or (>= 0xA1 and <= 0xFF and not 0xAD);
            names[b] = $"{(char)(visible ? b : next++)}";
        }
        tokens.AddRange(names);
        space = names[' '];
        newline = names['\n'];
    }
}
