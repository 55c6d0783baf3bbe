using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Tests.Kernels;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>Writes small models with random weights, complete with a byte-level tokenizer, for tests that need no reference data.</summary>
internal static class TinyModel
{
    public const int Width = 256;
    public const int Layers = 3;
    public const int Window = 24;
    public const int Bytes = 256;
    private const int Heads = 8;
    private const int KvHeads = 2;
    private const int HeadLength = 32;
    private const int Inner = 512;
    private const int Experts = 6;
    private const int ExpertsUsed = 2;
    private const int ExpertInner = 256;

    private static readonly string[] Specials = ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"];

    /// <summary>Token ids: 256 bytes, then begin, end and end of turn.</summary>
    public static int VocabularySize => Bytes + Specials.Length;

    /// <summary>Writes a model of an architecture whose matrices are all in one format.</summary>
    public static void Write(string path, string architecture = "llama", WeightType type = WeightType.Q8_0, int seed = 1, int context = 1024, int width = Width)
    {
        using var writer = new GgufWriter(File.Create(path));
        Metadata(writer, architecture, context, width);
        List<(string Name, bool Matrix, int Rows, int Columns)> tensors = Tensors(architecture, width);
        foreach ((string name, bool matrix, int rows, int columns) in tensors)
        {
            if (name.Contains("_exps", StringComparison.Ordinal)) writer.AddTensor(name, type, columns, rows / Experts, Experts);
            else if (matrix) writer.AddTensor(name, type, columns, rows);
            else writer.AddTensor(name, WeightType.F32, columns);
        }

        writer.WriteHeader();
        var random = new Random(seed);
        foreach ((_, bool matrix, int rows, int columns) in tensors)
        {
            if (matrix)
            {
                writer.WriteData(RandomWeights.Rows(type, rows, columns, random.Next()));
                continue;
            }

            float[] norm = new float[columns];
            for (int i = 0; i < columns; i++) norm[i] = 0.75f + random.NextSingle() / 2;
            writer.WriteData(MemoryMarshal.AsBytes(norm.AsSpan()));
        }
    }

    private static void Metadata(GgufWriter writer, string a, int context, int width)
    {
        writer.Add("general.architecture", a);
        writer.Add($"{a}.block_count", Layers);
        writer.Add($"{a}.embedding_length", width);
        writer.Add($"{a}.context_length", context);
        writer.Add($"{a}.feed_forward_length", Inner);
        writer.Add($"{a}.attention.head_count", Heads);
        writer.Add($"{a}.attention.head_count_kv", KvHeads);
        writer.Add($"{a}.attention.key_length", HeadLength);
        writer.Add($"{a}.attention.value_length", HeadLength);
        writer.Add($"{a}.attention.layer_norm_rms_epsilon", 1e-5f);
        if (a == "muse-glimmer")
        {
            writer.Add($"{a}.attention.sliding_window", Window);
            writer.Add($"{a}.attention.sliding_window_pattern", new[] { true, true, false });
            writer.Add($"{a}.final_logit_softcapping", 20f);
            writer.Add($"{a}.logit_scale", 0.5f);
        }

        if (a == "qwen3moe")
        {
            writer.Add($"{a}.expert_count", Experts);
            writer.Add($"{a}.expert_used_count", ExpertsUsed);
            writer.Add($"{a}.expert_feed_forward_length", ExpertInner);
        }

        writer.Add("tokenizer.ggml.model", "gpt2");
        writer.Add("tokenizer.ggml.pre", "llama-bpe");
        writer.Add("tokenizer.ggml.tokens", Enumerable.Range(0, Bytes).Select(ByteText).Concat(Specials).ToArray());
        writer.Add("tokenizer.ggml.token_type", Enumerable.Repeat(1, Bytes).Concat(Specials.Select(_ => 3)).ToArray());
        writer.Add("tokenizer.ggml.merges", Array.Empty<string>());
        writer.Add("tokenizer.ggml.bos_token_id", (uint)Bytes);
        writer.Add("tokenizer.ggml.eos_token_id", (uint)Bytes + 1);
        writer.Add("tokenizer.ggml.eot_token_id", (uint)Bytes + 2);
        writer.Add("tokenizer.chat_template", ChatTemplate);
    }

    private const string ChatTemplate =
        "{{ bos_token }}{% for message in messages %}[{{ message.role }}]{{ message.content }}<|eot_id|>{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";

    /// <summary>The printable stand-in of a byte in byte-level vocabularies.</summary>
    private static string ByteText(int value)
    {
        int shifted = 256;
        for (int b = 0; b < 256; b++)
        {
            bool printable = b is >= 33 and <= 126 or >= 161 and <= 172 or >= 174;
            int character = printable ? b : shifted++;
            if (b == value) return ((char)character).ToString();
        }

        throw new ArgumentOutOfRangeException(nameof(value));
    }

    private static List<(string Name, bool Matrix, int Rows, int Columns)> Tensors(string architecture, int width)
    {
        bool headNorms = architecture is "qwen3" or "qwen3moe" or "muse-glimmer";
        bool glimmer = architecture == "muse-glimmer", experts = architecture == "qwen3moe";
        var tensors = new List<(string, bool, int, int)>
        {
            ("token_embd.weight", true, VocabularySize, width),
            ("output_norm.weight", false, 1, width),
        };
        if (glimmer) tensors.Add(("output.weight", true, VocabularySize, width));
        for (int l = 0; l < Layers; l++)
        {
            string p = $"blk.{l}.";
            tensors.Add((p + "attn_norm.weight", false, 1, width));
            tensors.Add((p + "attn_q.weight", true, Heads * HeadLength, width));
            tensors.Add((p + "attn_k.weight", true, KvHeads * HeadLength, width));
            tensors.Add((p + "attn_v.weight", true, KvHeads * HeadLength, width));
            tensors.Add((p + "attn_output.weight", true, width, Heads * HeadLength));
            tensors.Add((p + "ffn_norm.weight", false, 1, width));
            if (experts)
            {
                tensors.Add((p + "ffn_gate_inp.weight", true, Experts, width));
                tensors.Add((p + "ffn_gate_exps.weight", true, Experts * ExpertInner, width));
                tensors.Add((p + "ffn_up_exps.weight", true, Experts * ExpertInner, width));
                tensors.Add((p + "ffn_down_exps.weight", true, Experts * width, ExpertInner));
            }
            else
            {
                tensors.Add((p + "ffn_gate.weight", true, Inner, width));
                tensors.Add((p + "ffn_up.weight", true, Inner, width));
                tensors.Add((p + "ffn_down.weight", true, width, Inner));
            }

            if (headNorms)
            {
                tensors.Add((p + "attn_q_norm.weight", false, 1, HeadLength));
                tensors.Add((p + "attn_k_norm.weight", false, 1, HeadLength));
            }

            if (!glimmer) continue;
            tensors.Add((p + "attn_gate.weight", true, Heads * HeadLength, width));
            tensors.Add((p + "post_attention_norm.weight", false, 1, width));
            tensors.Add((p + "post_ffw_norm.weight", false, 1, width));
        }

        return tensors;
    }
}
