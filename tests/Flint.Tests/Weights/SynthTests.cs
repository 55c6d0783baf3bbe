using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.Dialects;
using Flint.Formats;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Weights;

public sealed unsafe partial class SynthTests : IDisposable
{
    private readonly TestFolder _folder = new();

    public static TheoryData<string> Quants => [.. Synth.Quants];

    public static TheoryData<string> Shapes => [.. Synth.Shapes];

    public void Dispose() => _folder.Dispose();

    [Theory]
    [MemberData(nameof(Quants))]
    public void WritesSensibleWeightsInEveryFormat(string quant)
    {
        // A model with experts and one with every other kind of tensor.
        foreach (SynthShape full in SynthShape.All.Where(s => s.QueryNorm > 0))
        {
            using GgufFile file = GgufFile.Open(Write(Miniature(full), quant));
            foreach (TensorInfo tensor in file.Tensors)
            {
                float[] values = Decode(tensor);
                double mean = values.Average(v => (double)v);
                double deviation = Math.Sqrt(values.Average(v => (v - mean) * (v - mean)));
                Assert.True(Array.TrueForAll(values, float.IsFinite));
                if (tensor.Shape.Length > 1)
                {
                    double error = 5 * 0.02 / Math.Sqrt(values.Length);
                    Assert.InRange(mean, -error, error);
                    Assert.InRange(deviation, 0.019 - error, 0.021 + error);
                }
                else if (tensor.Name.Contains("attn_q_norm", StringComparison.Ordinal))
                {
                    Assert.All(values, v => Assert.Equal(full.QueryNorm, v));
                }
                else
                {
                    Assert.InRange(mean, 0.98, 1.02);
                    Assert.InRange(deviation, 0, 0.03);
                }
            }
        }
    }

    // The parameter counts that the models' makers publish (Muse Glimmer: by its tensors); rope factors are no parameters.
    [Theory]
    [InlineData("llama-1b", 1_235_814_400, 147)]
    [InlineData("llama-8b", 8_030_261_248, 292)]
    [InlineData("moe-1b-7b", 6_919_161_856 + 16 * 2 * (128 - 2048), 195)]
    [InlineData("muse-glimmer-30b", 2L * 6656 * 202048 + 6656 + 52 * (6656L * (3 * 4096 + 2 * 256) + 3 * 6656 * 19968 + 4 * 6656 + 2 * 128), 731)]
    public void HasTheSizeOfTheRealModel(string name, long parameters, int tensors)
    {
        SynthShape shape = SynthShape.All.Single(s => s.Name == name);
        SynthTensor[] all = [.. shape.Tensors(QuantMix.All.Single(q => q.Name == "F32"))];
        Assert.Equal(tensors, all.Length);
        Assert.Equal(parameters, all.Where(t => t.Name != "rope_freqs.weight").Sum(t => t.Bytes / 4));
    }

    [Theory]
    [MemberData(nameof(Shapes))]
    public void HasAValidTokenizerOfTheFullSize(string name)
    {
        SynthShape shape = SynthShape.All.Single(s => s.Name == name);
        using GgufFile file = GgufFile.Open(Write(Miniature(shape) with { Vocabulary = shape.Vocabulary, Width = 32, FeedForward = 32 }, "Q8_0"));
        string[] tokens = file.Metadata.Get<string[]>("tokenizer.ggml.tokens");
        string[] merges = file.Metadata.Get<string[]>("tokenizer.ggml.merges");
        int[] types = file.Metadata.Get<int[]>("tokenizer.ggml.token_type");
        Assert.Equal(shape.Vocabulary, tokens.Length);
        Assert.Equal(shape.Vocabulary, types.Length);
        Dictionary<string, int> ids = tokens.Select((t, i) => (t, i)).ToDictionary(p => p.t, p => p.i);
        for (int i = 0; i < merges.Length; i++)
        {
            string[] parts = merges[i].Split(' ');
            Assert.Equal(2, parts.Length);
            Assert.Equal(256 + i, ids[parts[0] + parts[1]]);
            Assert.InRange(ids[parts[0]], 0, 255 + i);
            Assert.InRange(ids[parts[1]], 0, 255 + i);
        }
        Assert.All(tokens[..256], t => Assert.Single(t));
        int specials = tokens.Length - 256 - merges.Length;
        Assert.All(types[^specials..], t => Assert.Equal(3, t));
        Assert.All(tokens[^specials..], t => Assert.StartsWith("<|", t, StringComparison.Ordinal));
        foreach (string key in (string[])["bos", "eos", "eot", "padding"])
            Assert.InRange(file.Metadata.Get<int>($"tokenizer.ggml.{key}_token_id"), tokens.Length - specials, tokens.Length - 1);
        const string text = "Hello world, the year is 2026.\n\n  grüße";
        Tokenizer tokenizer = Tokenizer.FromGguf(file.Metadata);
        int[] encoded = tokenizer.Encode(text, addSpecial: false, parseSpecial: false);
        Assert.InRange(encoded.Length, 1, text.Length * 3 / 4);
        Assert.Equal(text, tokenizer.Decode(encoded));
        Assert.All(SpecialToken().Matches(file.Metadata.Get<string>("tokenizer.chat_template")), m => Assert.Contains(m.Value, ids));
    }

    [Fact]
    public void KnowsMuseGlimmersPublishedTokens()
    {
        SynthShape shape = SynthShape.All.Single(s => s.Name == "muse-glimmer-30b");
        using GgufFile file = GgufFile.Open(Write(Miniature(shape) with { Vocabulary = shape.Vocabulary, Width = 32, FeedForward = 32, Layers = 5 }, "F16"));
        GgufMetadata metadata = file.Metadata;
        Assert.Equal([true, true, true, false, true], metadata.Get<bool[]>("muse-glimmer.attention.sliding_window_pattern"));
        Assert.Equal((200000, 200001, 200008, 200018),
            (metadata.Get<int>("tokenizer.ggml.bos_token_id"), metadata.Get<int>("tokenizer.ggml.eos_token_id"),
             metadata.Get<int>("tokenizer.ggml.eot_token_id"), metadata.Get<int>("tokenizer.ggml.padding_token_id")));
        string[] tokens = metadata.Get<string[]>("tokenizer.ggml.tokens");
        Assert.Equal(("<|eom|>", "<|start|>", "<|message|>"), (tokens[200007], tokens[200022], tokens[200023]));
        Assert.Equal(0.196116f, metadata.Get<float>("muse-glimmer.logit_scale"), 1e-6f);
    }

    [Theory]
    [InlineData("llama-1b", "<B><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")]
    [InlineData("moe-1b-7b", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")]
    [InlineData("muse-glimmer-30b", "<B><|start|>system<|message|>You are a helpful assistant.\n\nReasoning strength: low.\n\n" +
        "# Valid recipients: \"self\", \"user\".<|eot|><|start|>user<|message|>Hi<|eot|><|start|>assistant")]
    public void HasAChatTemplateOfItsFamily(string name, string expected) =>
        Assert.Equal(expected, Render(name, [new() { Role = "user", Content = "Hi" }], []));

    [Fact]
    public void MuseGlimmersTemplateWritesThoughtsAndCalls()
    {
        ChatMessage[] messages =
        [
            new() { Role = "system", Content = "S" },
            new() { Role = "user", Content = "U" },
            new() { Role = "assistant", ReasoningContent = "R", ToolCalls = [new ToolCall("1", "f.g", """{"a": "x y", "b": [1, 2]}""")] },
            new() { Role = "tool", Name = "f.g", Content = "T" },
            new() { Role = "assistant", Content = "A" },
        ];
        const string expected =
            """
            <B><|start|>system<|message|>S

            Reasoning strength: low.

            // Function schemas
            {"name": "f.g", "parameters": {}}

            # Valid recipients: "self", "f.*", "user".<|eot|><|start|>user<|message|>U<|eot|><|start|>assistant to=self<|message|>R<|eom|><|start|>assistant to=f.g<|message|><atem:function_calls>
            <atem:invoke name="f.g">
            <atem:parameter name="a">x y</atem:parameter>
            <atem:parameter name="b">[1, 2]</atem:parameter>
            </atem:invoke>
            </atem:function_calls><|eot|><|start|>tool f.g<|message|><tool_output name="f.g">
            T
            </tool_output><|eot|><|start|>assistant to=user<|message|>A<|eot|><|start|>assistant
            """;
        ToolDefinition tool = ToolDefinition.From(JsonNode.Parse("""{"type": "function", "function": {"name": "f.g", "parameters": {}}}"""));
        Assert.Equal(expected, Render("muse-glimmer-30b", messages, [tool]));
    }

    // Llama 3.2 1B: the divisors that its published rope_freqs tensor holds at both ends, and the smooth part between.
    [Fact]
    public void HasLlamasRotaryFactors()
    {
        using GgufFile file = GgufFile.Open(Write(Miniature(SynthShape.All[0]) with { HeadLength = 64 }, "F32"));
        float[] factors = Decode(file.Tensors.Get("rope_freqs.weight", 32));
        Assert.All(factors[..15], f => Assert.Equal(1, f));
        Assert.All(factors[18..], f => Assert.Equal(32, f));
        Assert.InRange(factors[16], 1.0001f, 31.9999f);
    }

    [Fact]
    public void DependsOnTheSeedAlone()
    {
        SynthShape shape = Miniature(SynthShape.All[2]);
        byte[] first = File.ReadAllBytes(Write(shape, "Q4_K_M", 7));
        Assert.Equal(first, File.ReadAllBytes(Write(shape, "Q4_K_M", 7)));
        Assert.NotEqual(first, File.ReadAllBytes(Write(shape, "Q4_K_M", 8)));
    }

    [Fact]
    public void ReportsProgressUpToTheWhole()
    {
        List<(long Done, long Total)> reports = [];
        SynthShape shape = Miniature(SynthShape.All[0]);
        string path = Path.Combine(_folder.Path, "progress.gguf");
        Synth.Write(shape, QuantMix.All[0], 1, path, (done, total) => reports.Add((done, total)));
        Assert.All(reports.Zip(reports.Skip(1)), p => Assert.True(p.First.Done < p.Second.Done));
        Assert.Equal(reports[^1].Total, reports[^1].Done);
    }

    [Fact]
    public void SaysWhatItDoesNotKnow()
    {
        string path = Path.Combine(_folder.Path, "none.gguf");
        AssertFault(FaultSide.Caller, "unknown_shape", new() { Shape = "llama-2b" }, path, "llama-2b", "muse-glimmer-30b");
        AssertFault(FaultSide.Caller, "unknown_quant", new() { Shape = "llama-1b", Quant = "Q9" }, path, "Q9", "Q4_K_M");
        AssertFault(FaultSide.Caller, "layers", new() { Shape = "llama-1b", Layers = 0 }, path, "0");
        AssertFault(FaultSide.Caller, "layers", new() { Shape = "llama-1b", Layers = Synth.MaxLayers + 1 }, path, "1001");
        Assert.False(File.Exists(path));
        string absent = Path.Combine(_folder.Path, "absent", "none.gguf");
        AssertFault(FaultSide.Machine, "file_unwritable", new() { Shape = "llama-1b", Layers = 1 }, absent, absent);
    }

    [GeneratedRegex(@"<\|[a-z_]+\|>")]
    private static partial Regex SpecialToken();

    private static SynthShape Miniature(SynthShape shape) => shape with
    {
        Layers = 3,
        Width = 256,
        FeedForward = 512,
        Heads = 4,
        KvHeads = 2,
        HeadLength = 128,
        Vocabulary = 2400,
        Experts = Math.Min(shape.Experts, 3),
    };

    private string Write(SynthShape shape, string quant, ulong seed = 1)
    {
        string path = Path.Combine(_folder.Path, $"{shape.Name}-{quant}-{seed}.gguf");
        Synth.Write(shape, QuantMix.All.Single(q => q.Name == quant), seed, path, null);
        return path;
    }

    private string Render(string shape, ChatMessage[] messages, ToolDefinition[] tools)
    {
        using GgufFile file = GgufFile.Open(Write(Miniature(SynthShape.All.Single(s => s.Name == shape)), "F16"));
        return ChatTemplate.Parse(file.Metadata.Get<string>("tokenizer.chat_template")).Render(new TemplateInput
        {
            Messages = messages,
            Tools = tools,
            BosToken = "<B>",
            Extra = new Dictionary<string, object?> { ["reasoning_strength"] = "low" },
        });
    }

    private static float[] Decode(TensorInfo tensor)
    {
        float[] values = new float[tensor.Elements];
        fixed (float* dst = values)
            WeightTypes.DecodeRow(tensor.Type, tensor.Data, dst, values.Length);
        return values;
    }

    private static WeightType Parse(string name) => Enum.Parse<WeightType>(name, ignoreCase: true);

    private static void AssertFault(FaultSide side, string code, SynthOptions options, string path, params string[] parts)
    {
        FlintException fault = Assert.Throws<FlintException>(() => Synth.Write(options, path));
        Assert.Equal((side, code), (fault.Side, fault.Code));
        Assert.All(parts, part => Assert.Contains(part, fault.Message, StringComparison.Ordinal));
    }
}
