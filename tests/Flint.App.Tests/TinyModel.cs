using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Weights;

namespace Flint.App.Tests;

/// <summary>A model of a few thousand random weights with a ChatML vocabulary: small enough for every test, real in every part.</summary>
internal static class TinyModel
{
    internal const int Width = 32, Layers = 2, Heads = 4, KvHeads = 2, FeedForward = 64, Context = 512;

    internal const string ChatMl =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

    private const int End = 2, TurnEnd = 260;

    private static readonly string[] Words =
    [
        "\u2581", "e", "t", "a", "o", "n", "i", "s", "r", "h", "l", "d", "u", "c", "m", "\u2581t", "he", "\u2581the", "in", "\u2581a", "er", "\u2581hello", "hello",
    ];

    /// <summary>Ids 0 to 2 are unk, bos, eos; then the 256 bytes, <c>&lt;|im_start|&gt;</c>, <c>&lt;|im_end|&gt;</c>, and words.</summary>
    internal static int Vocabulary => 3 + 256 + 2 + Words.Length;

    /// <summary>Writes the model.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="template">The chat template; null for a model without one.</param>
    /// <param name="seed">Of the weights.</param>
    /// <param name="pooling">The number of its pooling; null for none in the file.</param>
    /// <param name="ends">Whether an answer may end; where not, the likeliest token is never one that ends it.</param>
    internal static void Write(string path, string? template = ChatMl, int seed = 1, uint? pooling = null, bool ends = true)
    {
        using var writer = new GgufWriter(File.Create(path));
        writer.Add("general.architecture", "llama");
        writer.Add("general.name", "tiny");
        writer.Add("llama.block_count", (uint)Layers);
        writer.Add("llama.context_length", (uint)Context);
        writer.Add("llama.embedding_length", (uint)Width);
        writer.Add("llama.feed_forward_length", (uint)FeedForward);
        writer.Add("llama.attention.head_count", (uint)Heads);
        writer.Add("llama.attention.head_count_kv", (uint)KvHeads);
        writer.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
        writer.Add("llama.rope.dimension_count", (uint)(Width / Heads));
        if (pooling is uint type) writer.Add("llama.pooling_type", type);
        AddTokenizer(writer, template);

        var tensors = new List<(string Name, long[] Shape)>
        {
            ("token_embd.weight", [Width, Vocabulary]), ("output_norm.weight", [Width]), ("output.weight", [Width, Vocabulary]),
        };
        int kvWidth = Width / Heads * KvHeads;
        for (int l = 0; l < Layers; l++)
        {
            tensors.AddRange(
            [
                ($"blk.{l}.attn_norm.weight", [Width]), ($"blk.{l}.attn_q.weight", [Width, Width]), ($"blk.{l}.attn_k.weight", [Width, kvWidth]),
                ($"blk.{l}.attn_v.weight", [Width, kvWidth]), ($"blk.{l}.attn_output.weight", [Width, Width]), ($"blk.{l}.ffn_norm.weight", [Width]),
                ($"blk.{l}.ffn_gate.weight", [Width, FeedForward]), ($"blk.{l}.ffn_up.weight", [Width, FeedForward]), ($"blk.{l}.ffn_down.weight", [FeedForward, Width]),
            ]);
        }
        foreach (var (name, shape) in tensors) writer.AddTensor(name, WeightType.F32, shape);
        writer.WriteHeader();
        var random = new Random(seed);
        foreach (var (name, shape) in tensors)
        {
            var values = new float[shape.Aggregate(1L, (a, b) => a * b)];
            for (int i = 0; i < values.Length; i++) values[i] = shape.Length == 1 ? 1 : (random.NextSingle() - 0.5f) * 0.6f;
            if (!ends && name == "output.weight")
            {
                foreach (int id in (int[])[End, TurnEnd]) values.AsSpan(id * Width, Width).Clear(); // of 280 others one is above zero
            }
            writer.WriteData(MemoryMarshal.AsBytes<float>(values));
        }
        writer.Finish();
    }

    private static void AddTokenizer(GgufWriter writer, string? template)
    {
        string[] tokens = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), "<|im_start|>", "<|im_end|>", .. Words];
        const int unknown = 2, control = 3, bytes = 6, normal = 1;
        int[] types = [unknown, control, control, .. Enumerable.Repeat(bytes, 256), control, control, .. Enumerable.Repeat(normal, Words.Length)];
        writer.Add("tokenizer.ggml.model", "llama");
        writer.Add("tokenizer.ggml.pre", "default");
        writer.Add("tokenizer.ggml.tokens", tokens);
        writer.Add("tokenizer.ggml.scores", (float[])[.. Enumerable.Repeat(0f, 261), .. Enumerable.Range(0, Words.Length).Select(i => -1f - i)]);
        writer.Add("tokenizer.ggml.token_type", types);
        writer.Add("tokenizer.ggml.bos_token_id", 1u);
        writer.Add("tokenizer.ggml.eos_token_id", (uint)(template is null ? End : TurnEnd));
        writer.Add("tokenizer.ggml.unknown_token_id", 0u);
        writer.Add("tokenizer.ggml.add_bos_token", template is null);
        writer.Add("tokenizer.ggml.add_eos_token", false);
        if (template is not null) writer.Add("tokenizer.chat_template", template);
    }
}
