using System.Text.Json.Nodes;
using Flint.Formats;
using Flint.Models;
using Flint.Tokens;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>Folders of the hub become the GGUF files that they would have come from.</summary>
public sealed unsafe class HubModelTests : IDisposable
{
    private const string Llama3 = @"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

    private static readonly (string Gguf, string Hub)[] s_names =
    [
        ("attn_norm", "input_layernorm"), ("attn_q_norm", "self_attn.q_norm"), ("attn_k_norm", "self_attn.k_norm"), ("attn_q", "self_attn.q_proj"),
        ("attn_k", "self_attn.k_proj"), ("attn_v", "self_attn.v_proj"), ("attn_output", "self_attn.o_proj"), ("ffn_norm", "post_attention_layernorm"),
        ("ffn_gate", "mlp.gate_proj"), ("ffn_up", "mlp.up_proj"), ("ffn_down", "mlp.down_proj"),
    ];

    private readonly string _folder = Directory.CreateTempSubdirectory("flint-hub-").FullName;

    private string Hub => Path.Combine(_folder, "hub");

    private string Target => Path.Combine(_folder, "out.gguf");

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama", 1)]
    [InlineData("llama", 3)]
    [InlineData("qwen3", 2)]
    public void A_folder_becomes_the_model_it_was(string architecture, int shards)
    {
        string path = Write(architecture, shards);
        Convert();
        using GgufFile before = GgufFile.Open(path), after = GgufFile.Open(Target);
        Assert.Equal(before.Tensors.Select(t => t.Name).Order(), after.Tensors.Select(t => t.Name).Order());
        foreach (TensorInfo tensor in before.Tensors)
            Assert.Equal(new ReadOnlySpan<byte>(tensor.Data, (int)tensor.Bytes).ToArray(), Bytes(after.Tensors.Get(tensor.Name, tensor.Shape)));
        foreach (string key in (string[])["tokens", "token_type", "model", "pre", "bos_token_id", "eos_token_id"])
            Assert.Equal(before.Metadata.Get<object>($"tokenizer.ggml.{key}"), after.Metadata.Get<object>($"tokenizer.ggml.{key}"));
        Assert.Equal(["a b", "c d"], after.Metadata.Get<string[]>("tokenizer.ggml.merges"));
        Assert.Equal(before.Metadata.Get<string>("tokenizer.chat_template"), after.Metadata.Get<string>("tokenizer.chat_template"));
        using Model one = Model.Load(path, new ModelOptions { Threads = 1 }), other = Model.Load(Target, new ModelOptions { Threads = 1 });
        Assert.Equal(one.Config with { Windows = [] }, other.Config with { Windows = [] });
        Assert.Equal([38, 39], Tokenizer.FromGguf(after.Metadata).Encode("&'", false, false));
    }

    // The files of one model that another program converted; the tokenizer is SentencePiece's.
    [Theory]
    [InlineData("hf-f32", "stories260K-f32.gguf")]
    [InlineData("hf-f16-sharded", "stories260K-f16.gguf")]
    public void A_real_model_becomes_what_others_make_of_it(string folder, string reference)
    {
        string shared = TestData.Shared("data/weights/stories260K-converted"), hub = Path.Combine(shared, folder);
        HubModel.WriteGguf(hub, Target, vocabulary => HubTokenizer.Metadata(hub, vocabulary));
        using GgufFile expected = GgufFile.Open(Path.Combine(shared, reference)), made = GgufFile.Open(Target);
        Assert.Equal(expected.Tensors.Select(t => t.Name).Order(), made.Tensors.Select(t => t.Name).Order());
        foreach (TensorInfo tensor in expected.Tensors)
        {
            TensorInfo found = made.Tensors.Get(tensor.Name, tensor.Shape);
            Assert.Equal(tensor.Type, found.Type);
            if (tensor.Shape.Length > 1) Assert.Equal(Bytes(tensor), Bytes(found));
            else Assert.Equal(Norm(tensor).Select(v => folder == "hf-f32" ? v : (float)(Half)v), Norm(found)); // the reference's norms were never rounded
        }
        foreach ((string key, object value) in expected.Metadata)
            if (key is not ("general.name" or "general.file_type" or "general.alignment")) Assert.Equal(value, made.Metadata.Get<object>(key));
    }

    [Fact]
    public void A_sentence_piece_vocabulary_is_what_others_make_of_it()
    {
        Directory.CreateDirectory(Hub);
        File.Copy(TestData.Shared("data/tokenizers/llama2/tokenizer.model"), Path.Combine(Hub, "tokenizer.model"));
        using GgufFile expected = GgufFile.Open(TestData.Shared("data/tokenizers/ggml-vocab-llama-spm.gguf"));
        string[] tokens = expected.Metadata.Get<string[]>("tokenizer.ggml.tokens");
        var made = HubTokenizer.Metadata(Hub, tokens.Length).ToDictionary();
        Assert.Equal(tokens, made["tokenizer.ggml.tokens"]);
        Assert.Equal(expected.Metadata.Get<float[]>("tokenizer.ggml.scores"), made["tokenizer.ggml.scores"]);
        Assert.Equal(expected.Metadata.Get<int[]>("tokenizer.ggml.token_type"), made["tokenizer.ggml.token_type"]);
        Assert.Equal("hub_tokenizer", Assert.Throws<FlintException>(() => HubTokenizer.Metadata(Hub, tokens.Length - 1)).Code);
        Assert.Equal("[PAD32000]", ((string[])HubTokenizer.Metadata(Hub, 32002).ToDictionary()["tokenizer.ggml.tokens"])[32000]);
    }

    [Fact]
    public void Scaled_frequencies_are_kept()
    {
        Write("llama", 1, config => config["rope_scaling"] = new JsonObject { ["rope_type"] = "linear", ["factor"] = 4 });
        Convert();
        using (GgufFile file = GgufFile.Open(Target)) Assert.Equal(("linear", 4f), (file.Metadata.Get<string>("llama.rope.scaling.type"), file.Metadata.Get<float>("llama.rope.scaling.factor")));
        Write("llama", 1, config => config["rope_parameters"] = new JsonObject { ["rope_type"] = "llama3", ["rope_theta"] = 500000.0, ["factor"] = 32, ["low_freq_factor"] = 1, ["high_freq_factor"] = 4, ["original_max_position_embeddings"] = 8192 });
        Convert();
        using (GgufFile file = GgufFile.Open(Target))
        {
            Assert.Equal(500000f, file.Metadata.Get<float>("llama.rope.freq_base"));
            float* factors = (float*)file.Tensors.Get("rope_freqs.weight", 16).Data;
            // Wavelengths below 2,048 tokens stay, those above 8,192 grow by the factor.
            Assert.Equal((1f, 32f), (factors[0], factors[15]));
            Assert.InRange(factors[8], 1.001f, 31.9f);
        }
        using Model model = Model.Load(Target, new ModelOptions { Threads = 1 });
        Assert.NotNull(model.Config.RopeFactors);
    }

    [Theory]
    [InlineData("model_type", "\"gpt2\"", "expected llama, mistral or qwen3")]
    [InlineData("hidden_act", "\"gelu\"", "expected silu")]
    [InlineData("num_hidden_layers", "null", "num_hidden_layers is missing")]
    [InlineData("num_hidden_layers", "4", "'model.layers.3.input_layernorm.weight' is missing")]
    [InlineData("num_hidden_layers", "2", "is not one of a \"llama\" model")]
    [InlineData("num_attention_heads", "-1", "num_attention_heads is '-1'; expected 1 to")]
    [InlineData("head_dim", "33", "expected whole heads of 33")]
    [InlineData("rope_scaling", "{\"rope_type\": \"yarn\"}", "expected default, linear")]
    [InlineData("hidden_size", "\"wide\"", "hidden_size is '\"wide\"'; expected 1 to")]
    [InlineData("rms_norm_eps", "0", "rms_norm_eps is '0'; expected a positive number")]
    [InlineData("tie_word_embeddings", "1", "expected true or false")]
    [InlineData("rope_scaling", "7", "expected an object")]
    public void What_is_wrong_is_named(string key, string value, string message)
    {
        Write("llama", 1, config => config[key] = JsonNode.Parse(value));
        FlintException fault = Assert.Throws<FlintException>(Convert);
        Assert.Equal(FaultSide.ModelFile, fault.Side);
        Assert.Contains(message, fault.Message, StringComparison.Ordinal);
        Assert.False(File.Exists(Target));
    }

    [Fact]
    public void Damage_is_told()
    {
        Write("llama", 2);
        string index = Path.Combine(Hub, "model.safetensors.index.json"), tokenizer = Path.Combine(Hub, "tokenizer.json"), kept = File.ReadAllText(tokenizer);
        void Refuses(string code)
        {
            FlintException fault = Assert.Throws<FlintException>(Convert);
            Assert.Equal(code, fault.Code);
            Assert.False(File.Exists(Target));
        }

        foreach (string text in (string[])["{", "[]", "{\"model\": 7}", kept.Replace("\\\\p{N}{1,3}", "\\\\p{N}{1,4}"), kept.Replace("\"id\":256", "\"id\":400")])
        {
            Assert.NotEqual(kept, text);
            File.WriteAllText(tokenizer, text);
            Refuses("hub_tokenizer");
        }
        File.Delete(tokenizer);
        Refuses("hub_tokenizer");
        foreach (byte[] bytes in (byte[][])[[], [0xff], [0x0a, 0x7f, 1], [0x0a, 0x02, 0x0a, 0x05], "no pieces at all"u8.ToArray()])
        {
            File.WriteAllBytes(Path.Combine(Hub, "tokenizer.model"), bytes);
            Refuses("sentencepiece_damaged");
        }
        foreach (string text in (string[])["{", "{\"weight_map\": {}}", "{\"weight_map\": {\"a\": \"../b.safetensors\"}}"])
        {
            File.WriteAllText(index, text);
            Refuses("hub_model");
        }
        File.Delete(index);
        Refuses("hub_model");
    }

    private void Convert() => HubModel.WriteGguf(Hub, Target, vocabulary => HubTokenizer.Metadata(Hub, vocabulary));

    private static float[] Norm(TensorInfo tensor) => new ReadOnlySpan<float>(tensor.Data, (int)tensor.Elements).ToArray();

    private static byte[] Bytes(TensorInfo tensor) => new ReadOnlySpan<byte>(tensor.Data, (int)tensor.Bytes).ToArray();

    /// <summary>Writes a small model as GGUF, and its folder as the hub would have it.</summary>
    private string Write(string architecture, int shards, Action<JsonObject>? change = null)
    {
        string path = Path.Combine(_folder, "model.gguf");
        TinyModel.Write(path, architecture, WeightType.F32);
        if (Directory.Exists(Hub)) Directory.Delete(Hub, recursive: true);
        Directory.CreateDirectory(Hub);
        using GgufFile model = GgufFile.Open(path);
        var tensors = model.Tensors.Select(t => (Name: HubName(t.Name), Shape: Enumerable.Reverse(t.Shape).ToArray(), Values: HubValues(t, architecture))).ToList();
        string[] files = [.. Enumerable.Range(1, shards).Select(i => shards == 1 ? "model.safetensors" : $"model-{i:D5}-of-{shards:D5}.safetensors")];
        var map = new JsonObject();
        for (int i = 0; i < shards; i++)
        {
            var own = tensors.Where((_, at) => at % shards == i).ToList();
            using (FileStream stream = File.Create(Path.Combine(Hub, files[i]))) SafetensorsWriter.Write(stream, own);
            foreach (var tensor in own) map[tensor.Name] = files[i];
        }
        if (shards > 1) File.WriteAllText(Path.Combine(Hub, "model.safetensors.index.json"), new JsonObject { ["weight_map"] = map }.ToJsonString());
        var config = new JsonObject
        {
            ["model_type"] = architecture, ["hidden_act"] = "silu", ["hidden_size"] = TinyModel.Width, ["num_hidden_layers"] = TinyModel.Layers, ["num_attention_heads"] = 8,
            ["num_key_value_heads"] = 2, ["head_dim"] = 32, ["intermediate_size"] = 512, ["max_position_embeddings"] = 1024, ["rms_norm_eps"] = 1e-5, ["tie_word_embeddings"] = true,
        };
        change?.Invoke(config);
        File.WriteAllText(Path.Combine(Hub, "config.json"), config.ToJsonString());
        WriteTokenizer(model.Metadata);
        return path;
    }

    private void WriteTokenizer(GgufMetadata metadata)
    {
        string[] tokens = metadata.Get<string[]>("tokenizer.ggml.tokens");
        var vocabulary = new JsonObject();
        for (int id = 0; id < TinyModel.Bytes; id++) vocabulary[tokens[id]] = id;
        File.WriteAllText(Path.Combine(Hub, "tokenizer.json"), new JsonObject
        {
            ["added_tokens"] = new JsonArray([.. Enumerable.Range(TinyModel.Bytes, tokens.Length - TinyModel.Bytes).Select(id => new JsonObject { ["id"] = id, ["content"] = tokens[id], ["special"] = true })]),
            ["pre_tokenizer"] = new JsonObject
            {
                ["type"] = "Sequence",
                ["pretokenizers"] = new JsonArray(
                    new JsonObject { ["type"] = "Split", ["pattern"] = new JsonObject { ["Regex"] = Llama3 } },
                    new JsonObject { ["type"] = "ByteLevel", ["use_regex"] = false }),
            },
            ["model"] = new JsonObject { ["type"] = "BPE", ["vocab"] = vocabulary, ["merges"] = new JsonArray("a b", new JsonArray("c", "d")) },
        }.ToJsonString());
        File.WriteAllText(Path.Combine(Hub, "tokenizer_config.json"), new JsonObject
        {
            ["bos_token"] = tokens[TinyModel.Bytes], ["eos_token"] = new JsonObject { ["content"] = tokens[TinyModel.Bytes + 1] }, ["pad_token"] = null,
            ["chat_template"] = new JsonArray(
                new JsonObject { ["name"] = "tool_use", ["template"] = "other" },
                new JsonObject { ["name"] = "default", ["template"] = metadata.Get<string>("tokenizer.chat_template") }),
        }.ToJsonString());
    }

    private static string HubName(string name)
    {
        if (name == "token_embd.weight") return "model.embed_tokens.weight";
        if (name == "output_norm.weight") return "model.norm.weight";
        string[] parts = name.Split('.');
        return $"model.layers.{parts[1]}.{s_names.Single(n => n.Gguf == parts[2]).Hub}.weight";
    }

    // Llama's queries and keys: the first numbers of all pairs of a head, then the second ones.
    private static float[] HubValues(TensorInfo tensor, string architecture)
    {
        float[] values = new ReadOnlySpan<float>(tensor.Data, (int)tensor.Elements).ToArray();
        if (architecture != "llama" || tensor.Name.Split('.') is not [_, _, "attn_q" or "attn_k", _]) return values;
        int columns = (int)tensor.Shape[0];
        float[] hub = new float[values.Length];
        for (int row = 0; row < values.Length / columns; row++)
        {
            int head = row / 32, pair = row % 32 / 2, second = row % 2;
            values.AsSpan(row * columns, columns).CopyTo(hub.AsSpan((head * 32 + second * 16 + pair) * columns));
        }
        return hub;
    }
}
