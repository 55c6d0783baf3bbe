using System.Runtime.InteropServices;
using Flint.Formats;
using Flint.Weights;

namespace Flint.App.Tests;

/// <summary>
/// A model that says what is written: after the prompt's last token its weights lead from each token of a script to the next, so that
/// whole answers with thoughts and calls come out of the real engine. Every token is used once, but for one that ends a script, and
/// for one that stands twice at a script's end: it is said for ever.
/// </summary>
internal static class ScriptedModel
{
    internal const string ChatMl =
        "{% if false %}<tool_call>{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ m.tool_calls | default('') | string }}<|im_end|>\n{% endfor %}{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
        + "<|im_start|>assistant{{ ' quick' if enable_thinking is defined and not enable_thinking else '' }}{{ '\n' }}";

    internal const string MuseGlimmer =
        "{% if false %}<atem:function_calls><|eom|>{% endif %}{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}<|message|>{{ m.content }} {{ reasoning_strength | default('high') }}<|eot|>{% endfor %}<|start|>assistant";

    private const int Control = 3, Bytes = 6, UserDefined = 4, Unknown = 2;

    private static readonly string[] Controls =
        ["<|im_start|>", "<|im_end|>", "<|begin_of_text|>", "<|end_of_text|>", "<|start|>", "<|message|>", "<|eom|>", "<|eot|>"];

    /// <summary>Writes a model.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="template">The chat template.</param>
    /// <param name="last">The last byte of every prompt.</param>
    /// <param name="script">What it says, token by token; control tokens by name.</param>
    internal static void Write(string path, string template, char last, params string[] script) => Write(path, template, 4096, (last, script));

    /// <summary>Writes a model that says different things.</summary>
    /// <param name="path">Where to.</param>
    /// <param name="template">The chat template.</param>
    /// <param name="context">Its longest context, in tokens.</param>
    /// <param name="scripts">The last byte of a prompt, and what the model then says.</param>
    internal static void Write(string path, string template, int context, params (char Last, string[] Script)[] scripts)
    {
        string[] words = [.. scripts.SelectMany(one => one.Script).Distinct().Except(Controls)];
        string[] tokens = ["<unk>", "<s>", "</s>", .. Enumerable.Range(0, 256).Select(b => $"<0x{b:X2}>"), .. Controls, .. words];
        int[] types = [Unknown, Control, Control, .. Enumerable.Repeat(Bytes, 256), .. Enumerable.Repeat(Control, Controls.Length), .. Enumerable.Repeat(UserDefined, words.Length)];
        int width = (scripts.Sum(one => one.Script.Length + 1) + 31) / 32 * 32;

        using var writer = new GgufWriter(File.Create(path));
        writer.Add("general.architecture", "llama");
        writer.Add("llama.block_count", 1u);
        writer.Add("llama.context_length", (uint)context);
        writer.Add("llama.embedding_length", (uint)width);
        writer.Add("llama.feed_forward_length", 32u);
        writer.Add("llama.attention.head_count", 1u);
        writer.Add("llama.attention.head_count_kv", 1u);
        writer.Add("llama.attention.layer_norm_rms_epsilon", 1e-5f);
        writer.Add("llama.rope.dimension_count", (uint)width);
        writer.Add("tokenizer.ggml.model", "llama");
        writer.Add("tokenizer.ggml.tokens", tokens);
        writer.Add("tokenizer.ggml.scores", new float[tokens.Length]);
        writer.Add("tokenizer.ggml.token_type", types);
        writer.Add("tokenizer.ggml.bos_token_id", 1u);
        writer.Add("tokenizer.ggml.eos_token_id", (uint)Array.IndexOf(tokens, template == MuseGlimmer ? "<|eot|>" : "<|im_end|>"));
        writer.Add("tokenizer.ggml.add_bos_token", false);
        writer.Add("tokenizer.chat_template", template);

        // The residual stream holds one bit, the place in the script; a token's row of the output looks for the place before its own.
        float[] embeddings = new float[width * tokens.Length], output = new float[width * tokens.Length];
        int place = 0;
        foreach ((char last, string[] script) in scripts)
        {
            embeddings[width * (3 + last) + place] = 1;
            foreach (string word in script)
            {
                int token = Array.IndexOf(tokens, word);
                output[width * token + place++] = 10;
                embeddings[width * token + place] = 1;
            }

            place++;
        }

        var tensors = new List<(string Name, long[] Shape, float[] Values)>
        {
            ("token_embd.weight", [width, tokens.Length], embeddings),
            ("output.weight", [width, tokens.Length], output),
            ("output_norm.weight", [width], Ones(width)),
            ("blk.0.attn_norm.weight", [width], Ones(width)),
            ("blk.0.ffn_norm.weight", [width], Ones(width)),
        };
        foreach (string name in (string[])["attn_q", "attn_k", "attn_v", "attn_output"])
            tensors.Add(($"blk.0.{name}.weight", [width, width], new float[width * width]));
        tensors.Add(("blk.0.ffn_gate.weight", [width, 32], new float[width * 32]));
        tensors.Add(("blk.0.ffn_up.weight", [width, 32], new float[width * 32]));
        tensors.Add(("blk.0.ffn_down.weight", [32, width], new float[width * 32]));
        foreach ((string name, long[] shape, _) in tensors)
            writer.AddTensor(name, WeightType.F32, shape);
        writer.WriteHeader();
        foreach ((_, _, float[] values) in tensors)
            writer.WriteData(MemoryMarshal.AsBytes<float>(values));
        writer.Finish();
    }

    private static float[] Ones(int length) => [.. Enumerable.Repeat(1f, length)];
}
