using System.Text.Json;
using System.Text.Json.Nodes;
using Flint.Formats;
using Flint.Models;
using Flint.Weights;

namespace Flint.Tests.Models;

/// <summary>Adapters on disk, in both layouts.</summary>
public sealed unsafe class LoraAdapterTests : IDisposable
{
    private const string Config = "adapter_config.json", Weights = "adapter_model.safetensors";
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-lora-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData("llama")]
    [InlineData("qwen3")]
    [InlineData("muse-glimmer")]
    public void Comes_back_from_both_layouts(string architecture)
    {
        using GgufFile model = Model(architecture);
        LoraAdapter adapter = LoraAdapters.Random(model, 1);
        string gguf = Path.Combine(_folder, "a.gguf"), peft = Path.Combine(_folder, "peft");
        adapter.SaveGguf(gguf);
        adapter.SavePeft(peft, model);
        AssertSame(adapter, LoraAdapter.Load(gguf, model));
        AssertSame(adapter, LoraAdapter.Load(peft, model));
        AssertSame(adapter, LoraAdapter.Load(Path.Combine(peft, Weights), model));
        Assert.Equal(adapter.Matrices.Sum(m => (long)m.Rank * (m.Rows + m.Columns)), adapter.Parameters);
    }

    [Fact]
    public void Writes_gguf_as_llama_cpp_reads_it()
    {
        using GgufFile model = Model("llama");
        string path = Path.Combine(_folder, "a.gguf");
        LoraAdapters.Random(model, 1, rank: 3, alpha: 6, name => name.EndsWith("attn_k.weight", StringComparison.Ordinal)).SaveGguf(path);
        using GgufFile file = GgufFile.Open(path);
        Assert.Equal(("llama", "adapter", "lora", 6f), (file.Metadata.Architecture, file.Metadata.Get<string>("general.type"), file.Metadata.Get<string>("adapter.type"), file.Metadata.Get<float>("adapter.lora.alpha")));
        Assert.Equal(2 * TinyModel.Layers, file.Tensors.Count);
        Assert.Equal([TinyModel.Width, 3L], file.Tensors.Get("blk.1.attn_k.weight.lora_a").Shape);
        Assert.Equal([3L, 64], file.Tensors.Get("blk.1.attn_k.weight.lora_b").Shape);
    }

    // The hub's order of rows: the first numbers of all pairs of a head, then the second ones.
    [Theory]
    [InlineData("llama", "model.", true)]
    [InlineData("muse-glimmer", "model.language_model.", true)]
    [InlineData("qwen3", "model.", false)]
    public void Writes_the_hubs_names_and_order_of_rows(string architecture, string prefix, bool reordered)
    {
        using GgufFile model = Model(architecture);
        const int heads = 8, length = 32;
        float[] rows = [.. Enumerable.Range(0, heads * length).Select(i => (float)i)];
        new LoraAdapter(architecture, 1, [new("blk.2.attn_q.weight", 1, TinyModel.Width, rows.Length, new float[TinyModel.Width], rows)]).SavePeft(_folder, model);
        using SafetensorsFile file = SafetensorsFile.Open(Path.Combine(_folder, Weights));
        string name = $"base_model.model.{prefix}layers.2.self_attn.q_proj.lora_";
        Assert.Equal([TinyModel.Width, 1L], file.Tensors.Get(name + "A.weight").Shape);
        TensorInfo b = file.Tensors.Get(name + "B.weight", 1, rows.Length);
        for (int row = 0; row < rows.Length; row++)
        {
            int head = row / length, half = row % length / 16, pair = row % 16;
            Assert.Equal(reordered ? head * length + 2 * pair + half : row, ((float*)b.Data)[row]);
        }

        JsonObject config = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder, Config)))!.AsObject();
        Assert.Equal(("LORA", 1, 1.0), ((string)config["peft_type"]!, (int)config["r"]!, (double)config["lora_alpha"]!));
        Assert.Equal(["self_attn.q_proj"], config["target_modules"]!.AsArray().Select(n => (string)n!));
    }

    // A whole matrix as B, beside the same matrix as the hub has it.
    [Theory]
    [InlineData("attn_q", "self_attn.q_proj")]
    [InlineData("attn_k", "self_attn.k_proj")]
    [InlineData("attn_v", "self_attn.v_proj")]
    [InlineData("attn_output", "self_attn.o_proj")]
    [InlineData("ffn_up", "mlp.up_proj")]
    public void Writes_the_order_of_rows_of_a_real_model(string part, string module)
    {
        string shared = TestData.Shared("data/weights/stories260K-converted");
        using GgufFile model = GgufFile.Open(Path.Combine(shared, "stories260K-f32.gguf"));
        TensorInfo tensor = model.Tensors.Get($"blk.3.{part}.weight");
        int columns = (int)tensor.Shape[0], rows = (int)tensor.Shape[1];
        float[] matrix = new ReadOnlySpan<float>(tensor.Data, rows * columns).ToArray(), identity = new float[columns * columns];
        for (int i = 0; i < columns; i++) identity[i * columns + i] = 1;
        new LoraAdapter("llama", columns, [new(tensor.Name, columns, columns, rows, identity, matrix)]).SavePeft(_folder, model);
        using SafetensorsFile written = SafetensorsFile.Open(Path.Combine(_folder, Weights)), hub = SafetensorsFile.Open(Path.Combine(shared, "hf-f32", "model.safetensors"));
        TensorInfo expected = hub.Tensors.Get($"model.layers.3.{module}.weight", columns, rows), found = written.Tensors.Get($"base_model.model.model.layers.3.{module}.lora_B.weight", columns, rows);
        Assert.Equal(new ReadOnlySpan<float>(expected.Data, rows * columns).ToArray(), new ReadOnlySpan<float>(found.Data, rows * columns).ToArray());
    }

    // α and the rank may differ from module to module, and α may count by the root of the rank.
    [Theory]
    [InlineData("""{"alpha_pattern":{}}""", 2.0)]
    [InlineData("""{"alpha_pattern":{"self_attn.v_proj":4}}""", 1.0)]
    [InlineData("""{"alpha_pattern":{"model.layers.0.self_attn.v_proj":4}}""", 1.0)]
    [InlineData("""{"alpha_pattern":{"mlp.v_proj":4}}""", 2.0)]
    [InlineData("""{"use_rslora":true}""", 4.0)]
    public void Counts_products_as_the_config_says(string change, double scale)
    {
        using GgufFile model = Model("llama");
        float[] b = [.. Enumerable.Range(0, 64 * 4).Select(i => (float)i)];
        new LoraAdapter("llama", 8,
        [
            new("blk.0.attn_v.weight", 4, TinyModel.Width, 64, new float[4 * TinyModel.Width], b),
            new("blk.1.attn_v.weight", 16, TinyModel.Width, 64, new float[16 * TinyModel.Width], new float[16 * 64]),
        ]).SavePeft(_folder, model);
        Change(change);
        LoraAdapter loaded = LoraAdapter.Load(_folder, model);
        LoraMatrix matrix = loaded.Matrices.Single(m => m.Tensor == "blk.0.attn_v.weight");
        Assert.Equal([4, 16], loaded.Matrices.Select(m => m.Rank));
        for (int i = 0; i < b.Length; i++) Assert.Equal(b[i] * scale, matrix.B[i] * loaded.Alpha / matrix.Rank, 1e-3);
    }

    [Fact]
    public void Counts_products_once_where_gguf_has_no_alpha()
    {
        using GgufFile model = Model("llama");
        string path = Path.Combine(_folder, "a.gguf");
        Write(path, [("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora")], ("blk.0.attn_v.weight.lora_a", [256, 2]), ("blk.0.attn_v.weight.lora_b", [2, 64]));
        LoraAdapter adapter = LoraAdapter.Load(path, model);
        Assert.Equal((2f, 1f), (adapter.Alpha, adapter.Matrices[0].B[0]));
    }

    [Theory]
    [InlineData("unsupported_adapter", """{"peft_type":"IA3"}""")]
    [InlineData("unsupported_adapter", """{"use_dora":true}""")]
    [InlineData("unsupported_adapter", """{"fan_in_fan_out":true}""")]
    [InlineData("unsupported_adapter", """{"lora_bias":true}""")]
    [InlineData("unsupported_adapter", """{"layer_replication":[[0,2],[1,3]]}""")]
    [InlineData("unsupported_adapter", """{"alora_invocation_tokens":[1,2]}""")]
    [InlineData("unsupported_adapter", """{"bias":"all"}""")]
    [InlineData("unsupported_adapter", """{"modules_to_save":["embed_tokens"]}""")]
    [InlineData("unsupported_adapter", """{"alpha_pattern":{"layers.[01].q_proj":4}}""")]
    [InlineData("adapter_config", """{"lora_alpha":null}""")]
    [InlineData("adapter_config", """{"lora_alpha":0}""")]
    [InlineData("adapter_config", """{"lora_alpha":"8"}""")]
    public void Refuses_what_is_more_than_low_rank_products(string code, string change)
    {
        using GgufFile model = Model("llama");
        LoraAdapters.Random(model, 1).SavePeft(_folder, model);
        Change(change);
        AssertFault(FaultSide.ModelFile, code, _folder, model);
    }

    [Fact]
    public void Refuses_broken_configs_and_absent_files()
    {
        using GgufFile model = Model("llama");
        AssertFault(FaultSide.Caller, "file_not_found", Path.Combine(_folder, "none.gguf"), model);
        AssertFault(FaultSide.Caller, "file_not_found", _folder, model);
        LoraAdapters.Random(model, 1).SavePeft(_folder, model);
        foreach (string text in (string[])["", "[]", "{", """{"peft_type":"\ud800"}""", new string(' ', 2 << 20)])
        {
            File.WriteAllText(Path.Combine(_folder, Config), text);
            AssertFault(FaultSide.ModelFile, "adapter_config", _folder, model);
        }
    }

    [Fact]
    public void Refuses_adapters_for_another_model()
    {
        using GgufFile llama = Model("llama"), glimmer = Model("muse-glimmer");
        string path = Path.Combine(_folder, "a.gguf");
        LoraAdapters.Random(llama, 1).SaveGguf(path);
        AssertFault(FaultSide.ModelFile, "adapter_mismatch", path, glimmer);
        void Refuses(string tensor, int columns, int rows)
        {
            new LoraAdapter("llama", 1, [new(tensor, 1, columns, rows, new float[columns], new float[rows])]).SaveGguf(path);
            AssertFault(FaultSide.ModelFile, "adapter_mismatch", path, llama);
        }
        Refuses("blk.3.attn_q.weight", 256, 256);
        Refuses("blk.0.attn_q.weight", 256, 255);
        Refuses("blk.0.attn_q.weight", 255, 256);
        Refuses("blk.0.attn_norm.weight", 256, 1);
        Refuses("token_embd.weight", 256, TinyModel.VocabularySize);
        Refuses("output.weight", 256, TinyModel.VocabularySize); // tied: the head is the embedding
        Refuses("blk.0.attn_gate.weight", 256, 256);
    }

    [Fact]
    public void Refuses_broken_pairs()
    {
        using GgufFile model = Model("llama");
        string path = Path.Combine(_folder, "a.gguf");
        (string, object)[] good = [("general.architecture", "llama"), ("general.type", "adapter"), ("adapter.type", "lora"), ("adapter.lora.alpha", 1f)];
        void Refuses(string code, (string, object)[] metadata, params (string, long[])[] tensors)
        {
            Write(path, metadata, tensors);
            AssertFault(FaultSide.ModelFile, code, path, model);
        }
        Refuses("not_an_adapter", good);
        Refuses("not_an_adapter", good[..1], ("blk.0.attn_v.weight.lora_a", [256, 2]));
        Refuses("not_an_adapter", [.. good[..2], ("adapter.type", "ia3")], ("blk.0.attn_v.weight.lora_a", [256, 2]));
        Refuses("adapter_alpha", [.. good[..3], ("adapter.lora.alpha", float.NaN)], ("blk.0.attn_v.weight.lora_a", [256, 2]), ("blk.0.attn_v.weight.lora_b", [2, 64]));
        Refuses("unsupported_adapter", [.. good, ("adapter.alora.invocation_tokens", new[] { 1u })], ("blk.0.attn_v.weight.lora_a", [256, 2]));
        Refuses("unsupported_adapter", good, ("blk.0.attn_norm.weight", [256]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_a", [256, 2]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_b", [2, 64]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_a", [256, 2]), ("blk.0.attn_v.weight.lora_b", [3, 64]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_a", [256]), ("blk.0.attn_v.weight.lora_b", [256, 64]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_a", [256, 2]), ("blk.0.attn_v.weight.lora_b", [2, 32, 2]));
        Refuses("adapter_damaged", good, ("blk.0.attn_v.weight.lora_a", [256, LoraAdapter.MaxRank + 1]), ("blk.0.attn_v.weight.lora_b", [LoraAdapter.MaxRank + 1, 64]));
    }

    [Fact]
    public void Refuses_values_that_make_no_adapter()
    {
        void Refuses(string code, Action make) => Assert.Equal((FaultSide.Caller, code), Assert.Throws<FlintException>(make) is var f ? (f.Side, f.Code) : default);
        LoraMatrix good = new("t", 1, 2, 3, new float[2], new float[3]);
        Refuses("adapter_shape", () => _ = new LoraMatrix("t", 0, 2, 3, [], []));
        Refuses("adapter_shape", () => _ = new LoraMatrix("t", 1, 2, 3, new float[3], new float[3]));
        Refuses("adapter_shape", () => _ = new LoraMatrix("t", LoraAdapter.MaxRank + 1, 1, 1, new float[LoraAdapter.MaxRank + 1], new float[LoraAdapter.MaxRank + 1]));
        Refuses("weight_not_finite", () => _ = new LoraMatrix("t", 1, 2, 1, [1, float.NaN], [1]));
        Refuses("adapter_alpha", () => _ = new LoraAdapter("llama", 0, [good]));
        Refuses("adapter_alpha", () => _ = new LoraAdapter("llama", float.PositiveInfinity, [good]));
        Refuses("adapter_empty", () => _ = new LoraAdapter("llama", 1, []));
        Refuses("adapter_tensor_twice", () => _ = new LoraAdapter("llama", 1, [good, good]));
    }

    private GgufFile Model(string architecture)
    {
        string path = Path.Combine(_folder, $"{architecture}-base.gguf");
        TinyModel.Write(path, architecture, WeightType.F32);
        return GgufFile.Open(path);
    }

    private void Change(string change)
    {
        string path = Path.Combine(_folder, Config);
        JsonObject config = JsonNode.Parse(File.ReadAllText(path))!.AsObject();
        foreach ((string key, JsonNode? value) in JsonNode.Parse(change)!.AsObject()) config[key] = value?.DeepClone();
        File.WriteAllText(path, config.ToJsonString(new JsonSerializerOptions { WriteIndented = true }));
    }

    private static void Write(string path, (string Key, object Value)[] metadata, params (string Name, long[] Shape)[] tensors)
    {
        using GgufWriter writer = new(File.Create(path));
        foreach ((string key, object value) in metadata) writer.Add(key, value);
        foreach ((string name, long[] shape) in tensors) writer.AddTensor(name, WeightType.F32, shape);
        writer.WriteHeader();
        foreach ((_, long[] shape) in tensors)
        {
            float[] ones = [.. Enumerable.Repeat(1f, (int)shape.Aggregate(1L, (a, b) => a * b))];
            writer.WriteData(System.Runtime.InteropServices.MemoryMarshal.AsBytes<float>(ones));
        }

        writer.Finish();
    }

    private static void AssertFault(FaultSide side, string code, string path, GgufFile model)
    {
        FlintException fault = Assert.Throws<FlintException>(() => LoraAdapter.Load(path, model));
        Assert.True((side, code) == (fault.Side, fault.Code), $"expected {side} {code}, found {fault.Side} {fault.Code}: {fault.Message}");
    }

    private static void AssertSame(LoraAdapter expected, LoraAdapter actual)
    {
        Assert.Equal((expected.Architecture, expected.Alpha), (actual.Architecture, actual.Alpha));
        Assert.Equal(expected.Matrices.Select(m => (m.Tensor, m.Rank, m.Columns, m.Rows)).Order(), actual.Matrices.Select(m => (m.Tensor, m.Rank, m.Columns, m.Rows)).Order());
        foreach (LoraMatrix matrix in expected.Matrices)
        {
            LoraMatrix other = actual.Matrices.Single(m => m.Tensor == matrix.Tensor);
            Assert.Equal(matrix.A, other.A);
            Assert.Equal(matrix.B, other.B);
        }
    }
}
