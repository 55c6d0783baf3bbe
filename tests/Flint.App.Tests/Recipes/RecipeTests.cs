using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using Flint.App.Config;
using Flint.App.Nano;
using Flint.App.Recipes;

namespace Flint.App.Tests.Recipes;

/// <summary>A recipe says exactly what it says: anything else is an error that names the line.</summary>
public sealed partial class RecipeTests : IDisposable
{
    private const string Good =
        """
        name: small
        seed: 7
        data:
          files: [a.jsonl, sub/b.jsonl]
          prompt_weight: 0.1
        tokenizer: {size: 300}
        template: t.jinja
        model:
          architecture: muse-glimmer
          layers: 6
          width: 64
          heads: 4
          kv_heads: 2
          head_length: 16
          feed_forward: 1_024
          window: 32
          pattern: 3
          context: 128
        training:
          steps: 10
          warmup_steps: 2
          learning_rate: 2.5e-3
        output:
          folder: run
          quantized: {Q8_0: out/q8.gguf}
        """;

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Everything_said_is_taken()
    {
        Recipe recipe = Load(Good);
        Assert.Equal(("small", 7ul, 0.1f, 300), (recipe.Name, recipe.Seed, recipe.PromptWeight, recipe.VocabularySize));
        Assert.Equal([_folder.File("a.jsonl"), _folder.File("sub/b.jsonl")], recipe.Files);
        Assert.Equal((_folder.File("t.jinja"), _folder.File("run")), (recipe.Template, recipe.Folder));
        Assert.Equal([("Q8_0", _folder.File("out/q8.gguf"))], recipe.Quantized);
        Assert.Equal((10, 2.5e-3f, 7ul, 2048), (recipe.Options.Steps, recipe.Options.LearningRate, recipe.Options.Seed, recipe.Options.MaxExampleTokens));
        Assert.Equal((1024, 20f, null), (recipe.Shape!.FeedForward, recipe.Shape.LogitCap, recipe.Shape.LogitScale));
        Assert.Equal([true, true, false], recipe.Shape.Pattern);
        Assert.Null(recipe.Output);
    }

    [Fact]
    public void A_model_that_is_trained_on_may_be_given_more_heads()
    {
        string text = Good.Replace("tokenizer: {size: 300}\n", "").Replace("template: t.jinja\n", "");
        int model = text.IndexOf("model:", StringComparison.Ordinal), training = text.IndexOf("training:", StringComparison.Ordinal);
        Recipe recipe = Load(text[..model] + "model: {from: base.gguf, kv_heads: 4}\n" + text[training..]);
        Assert.Equal((_folder.File("base.gguf"), 4, null), (recipe.BaseModel, recipe.KvHeads, recipe.Shape));
    }

    [Theory]
    [InlineData("seed: 7", "seed: seven", 2, "seed is 'seven'; expected an integer")]
    [InlineData("seed: 7", "seed: '7'", 2, "seed is '7'; expected an integer")]
    [InlineData("seed: 7", "seed: -1", 2, "expected 0 to")]
    [InlineData("seed: 7", "sead: 7", 2, "unknown key 'sead'")]
    [InlineData("seed: 7", "seed: 7\nseed: 8", 3, "not YAML")]
    [InlineData("seed: 7", "seed: [7]", 2, "seed is a list; expected an integer")]
    [InlineData("name: small", "nome: small", 1, "name is missing")]
    [InlineData("  prompt_weight: 0.1", "  prompt_weight: 2", 5, "prompt_weight")]
    [InlineData("  prompt_weight: 0.1", "  prompt_weight: heavy", 5, "expected a number")]
    [InlineData("  prompt_weight: 0.1", "  promptweight: 0.1", 5, "unknown key 'data.promptweight'")]
    [InlineData("  files: [a.jsonl, sub/b.jsonl]", "  files: {a: b}", 4, "expected a list of texts")]
    [InlineData("  files: [a.jsonl, sub/b.jsonl]", "  max_tokens: 64", 4, "files is missing")]
    [InlineData("  prompt_weight: 0.1", "  generator: pile", 5, "expected nano")]
    [InlineData("  prompt_weight: 0.1", "  generator: nano", 4, "data.items is missing")]
    [InlineData("  prompt_weight: 0.1", "  generator: nano\n  items: 5\n  task: sums", 7, "tasks are")]
    [InlineData("  prompt_weight: 0.1", "  items: 5", 5, "unknown key 'data.items'")]
    [InlineData("  steps: 10", "  steps: 10\n  optimizer: sgd", 21, "expected adamw or muon")]
    [InlineData("tokenizer: {size: 300}", "tokenizer: {size: 300, from: m.gguf}", 6, "either size or from")]
    [InlineData("tokenizer: {size: 300}", "tokenizer: 300", 6, "expected a mapping")]
    [InlineData("tokenizer: {size: 300}", "tokenizer:", 1, "tokenizer is missing")]
    [InlineData("template: t.jinja", "", 1, "template is missing")]
    [InlineData("  heads: 4", "  heads: 5", 13, "kv_heads")]
    [InlineData("  window: 32", "  window: 0", 16, "expected 1 to")]
    [InlineData("  architecture: muse-glimmer", "  architecture: llama", 16, "unknown key 'model.window'")]
    [InlineData("  architecture: muse-glimmer", "  architecture: gpt", 9, "architecture is 'gpt'")]
    [InlineData("  steps: 10", "  batch: 10", 20, "training.steps is missing")]
    [InlineData("  steps: 10", "  steps: 2", 21, "warmup_steps is 2")]
    [InlineData("  steps: 10", "  steps: 10\n  micro_batch_tokens: 512", 21, "max_tokens is 2048; expected 2 to micro_batch_tokens + 1 (513)")]
    [InlineData("  learning_rate: 2.5e-3", "  learning_rate: 5e-5", 22, "final_learning_rate is 0.0001; expected 0 to learning_rate")]
    [InlineData("  learning_rate: 2.5e-3", "  learning_rate: -1", 22, "learning_rate")]
    [InlineData("  quantized: {Q8_0: out/q8.gguf}", "  quantized: {Q8_0: [x]}", 25, "expected a text")]
    [InlineData("  quantized: {Q8_0: out/q8.gguf}", "  quantized: {Q9_0: out/q9.gguf}", 25, "'Q9_0' is no weight format")]
    [InlineData("name: small", "- small", 2, "")]
    [InlineData("name: small", "name: {", 1, "not YAML")]
    public void What_is_wrong_is_told_with_its_line(string part, string instead, int line, string message)
    {
        FlintException fault = Assert.Throws<FlintException>(() => Load(Good.Replace(part, instead)));
        Assert.Equal((FaultSide.Caller, "invalid_config"), (fault.Side, fault.Code));
        Assert.Contains(message, fault.Message);
        if (message != "not YAML" && message.Length > 0) Assert.Contains($"recipe.yaml:{line}: ", fault.Message);
    }

    [Fact]
    public void A_model_trained_further_brings_tokenizer_and_template()
    {
        string text = Good[..Good.IndexOf("tokenizer", StringComparison.Ordinal)] + "model: {from: base.gguf}\n" + Good[Good.IndexOf("training", StringComparison.Ordinal)..];
        Recipe recipe = Load(text);
        Assert.Equal((_folder.File("base.gguf"), null, null), (recipe.BaseModel, recipe.Shape, recipe.Template));
        Assert.Contains("leave these out", Assert.Throws<FlintException>(() => Load(text + "\ntemplate: t.jinja")).Message);
        Assert.Contains("unknown key 'model.layers'", Assert.Throws<FlintException>(() => Load(text.Replace("{from: base.gguf}", "{from: base.gguf, layers: 3}"))).Message);
    }

    [Fact]
    public void The_recipes_of_flint_nano_lead_from_nothing_to_the_model()
    {
        Recipe[] stages = [.. Enumerable.Range(1, NanoWorld.Stages).Select(i => Recipe.Load(Path.Combine(TestData.Root, $"models/nano/nano-{i}.yaml")))];
        Assert.All(stages, stage => Assert.Equal("flint-nano", stage.Name));
        Assert.Equal(Enumerable.Range(1, NanoWorld.Stages), stages.Select(stage => stage.Generated!.Value.Stage));
        Assert.True(File.Exists(stages[0].Template));
        Assert.Equal(stages.SkipLast(1).Select(stage => stage.Output), stages.Skip(1).Select(stage => stage.BaseModel));
        Assert.Equal(Path.GetFullPath(Path.Combine(TestData.Root, "models/nano/flint-nano.gguf")), Path.GetFullPath(stages[^1].Output!));
    }

    [Theory]
    [InlineData("- ")]
    [InlineData("[")]
    [InlineData("{a: ")]
    public void Depth_is_no_danger(string level)
    {
        Assert.Equal("invalid_config", Assert.Throws<FlintException>(() => Load(string.Concat(Enumerable.Repeat(level, 65_000 / level.Length)))).Code);
        Assert.Contains("longer", Assert.Throws<FlintException>(() => Load(Good + new string('#', 1 << 16))).Message);
    }

    [Fact]
    public void The_documentation_tells_every_key_and_its_example_is_a_recipe()
    {
        string text = File.ReadAllText(Path.Combine(TestData.Root, "docs/training.md"));
        int keys = text.IndexOf("### Keys\n", StringComparison.Ordinal);
        string table = text[keys..text.IndexOf("\n### ", keys + 1, StringComparison.Ordinal)];
        var told = KeyRow().Matches(table).SelectMany(row => Key().Matches(row.Value)).Select(key => key.Groups[1].Value);
        var known = new HashSet<string>();
        int model = Good.IndexOf("model:", StringComparison.Ordinal), training = Good.IndexOf("training:", StringComparison.Ordinal);
        string further = Good[..Good.IndexOf("tokenizer:", StringComparison.Ordinal)] + "model: {from: base.gguf}\n" + Good[training..];
        foreach (string recipe in (string[])[Good[..model].Replace("  prompt_weight", "  generator: nano\n  items: 5\n  prompt_weight") + Good[model..], further])
        {
            string path = _folder.File("keys.yaml");
            File.WriteAllText(path, recipe);
            YamlSection root = YamlSection.Load(path);
            Recipe.Read(path, root);
            Collect(root.Schema(), "", known);
        }
        Assert.Equal(known.Order(), told.Order());

        string example = string.Join('\n', Example().Match(text).Value.Split('\n').Select(line => line.Length > 4 ? line[4..] : ""));
        Assert.Equal(("colours", 2000, "Q8_0"), Load(example) is var shown ? (shown.Name, shown.Options.Steps, shown.Quantized[0].Mix) : default);

        static void Collect(JsonObject schema, string path, HashSet<string> into)
        {
            foreach ((string key, JsonNode? value) in schema["properties"]!.AsObject())
            {
                if (value!["properties"] is not null) Collect(value.AsObject(), $"{path}{key}.", into);
                else if ((string?)value["type"] != "object" || value["additionalProperties"] is not null) into.Add(path + key);
            }
        }
    }

    [Fact]
    public void A_file_that_is_not_there_is_no_recipe() =>
        Assert.Equal("file_not_found", Assert.Throws<FlintException>(() => Recipe.Load(_folder.File("none.yaml"))).Code);

    private Recipe Load(string text)
    {
        string path = _folder.File("recipe.yaml");
        File.WriteAllText(path, text);
        return Recipe.Load(path);
    }

    [GeneratedRegex(@"^\| `[^|]*\|", RegexOptions.Multiline)]
    private static partial Regex KeyRow();

    [GeneratedRegex(@"`([a-z0-9_.]+)`")]
    private static partial Regex Key();

    [GeneratedRegex(@"^    name: (.|\n)*?(?=\n\S)", RegexOptions.Multiline)]
    private static partial Regex Example();
}
