using System.Globalization;
using System.Text.RegularExpressions;
using Flint.Formats;
using Flint.Weights;

namespace Flint.Tests.Weights;

/// <summary>Which tensor gets which type, against what the reference quantizer gives real models.</summary>
public sealed partial class QuantPlanTests
{
    // The inner width of the experts is not in the reference's header.
    [Theory]
    [InlineData("deepseek-v3.1", 2048)]
    [InlineData("gemma-3-4b-it", 0)]
    [InlineData("glm-4.6v", 1408)]
    [InlineData("gpt-oss-120b", 2880)]
    [InlineData("meta-llama-3.1-70b-instruct", 0)]
    [InlineData("nemotron-nano-3-30b-a3b", 1856)]
    [InlineData("qwen3-0.6b", 0)]
    [InlineData("qwen3-14b", 0)]
    [InlineData("qwen3-coder-next", 512)]
    [InlineData("qwen3.5-27b", 0)]
    [InlineData("qwen3.5-397b-a17b", 1024)]
    [InlineData("step-3.5-flash", 1280)]
    public void MixesFormatsAsTheReferenceQuantizer(string model, int expertWidth)
    {
        string[] lines = File.ReadAllLines(TestData.Shared($"data/weights/llama-quantize-type-maps/{model}.schema"));
        int Fact(string name) => Regex.Match(lines[1], $"{name}=([0-9]+)") is { Success: true } m ? int.Parse(m.Groups[1].Value, CultureInfo.InvariantCulture) : 0;
        int experts = Fact("n_expert"), width = Fact("n_embd");
        string[] names = [.. lines.Select(l => l.Split(' ')[0]).Where(n => Ruled().IsMatch(n)).Append("token_embd.weight").Distinct()];
        Assert.True(names.Length > 2);
        int compared = 0;
        foreach (QuantMix mix in QuantMix.All)
        {
            int start = Array.FindIndex(lines, l => l.StartsWith($"[{mix.Name}]", StringComparison.Ordinal));
            if (start < 0) continue;
            Dictionary<string, WeightType> named = lines.Skip(start + 1).TakeWhile(l => !l.StartsWith('['))
                .Select(l => l.Split(' ')).Where(p => p.Length == 2).ToDictionary(p => p[0], p => Parse(p[1]));
            WeightType usual = Parse(lines[start].Split(' ')[1]);
            QuantPlan plan = new(mix, null, names, new ModelFacts(Fact("n_layer"), experts, model.Contains("70b", StringComparison.Ordinal)));
            foreach (string name in names)
            {
                bool down = name.Contains("ffn_down", StringComparison.Ordinal);
                int columns = !down ? width : name.EndsWith("ffn_down.weight", StringComparison.Ordinal) ? Fact("n_ff") : expertWidth;
                // Shared experts may have a width of their own, which the reference does not tell.
                if (name.Contains("shexp", StringComparison.Ordinal)) continue;
                WeightType expected = named.GetValueOrDefault(name, usual);
                WeightType found = plan.TypeOf(name, [columns, 4096], WeightType.F32).Type;
                Assert.True(expected == found, $"{mix.Name}, {name}: expected {expected}, found {found}");
                compared++;
            }
        }
        Assert.InRange(compared, 9 * names.Length / 2, 15 * names.Length);
    }

    [Theory]
    [InlineData("Q4_K_M", 256, WeightType.Q4_K)]
    [InlineData("Q4_K_M", 288, WeightType.Q5_0)]
    [InlineData("Q5_K_S", 288, WeightType.Q5_1)]
    [InlineData("Q6_K", 288, WeightType.Q8_0)]
    [InlineData("Q8_0", 40, WeightType.F16)]
    [InlineData("Q4_K_M", 40, WeightType.F16)]
    [InlineData("Q4_0", 7, WeightType.F16)]
    [InlineData("F16", 7, WeightType.F16)]
    public void FallsBackWhereRowsAreNoWholeBlocks(string mix, int columns, WeightType expected)
    {
        QuantPlan plan = Plan(mix, 8);
        (WeightType type, bool fallback) = plan.TypeOf("blk.3.attn_q.weight", [columns, 64], WeightType.F32);
        Assert.Equal((expected, expected != QuantMix.Find(mix).Base), (type, fallback));
    }

    [Theory]
    [InlineData("blk.0.attn_norm.weight", new long[] { 256 })]
    [InlineData("blk.0.attn_norm.weight", new long[] { 256, 1 })]
    [InlineData("blk.0.attn_q.bias", new long[] { 256, 4 })]
    [InlineData("blk.0.some_norm.weight", new long[] { 256, 4 })]
    [InlineData("blk.0.ffn_gate_inp.weight", new long[] { 256, 8 })]
    public void KeepsWhatIsSmall(string name, long[] shape)
    {
        foreach (QuantMix mix in QuantMix.All)
        {
            foreach (WeightType present in new[] { WeightType.F32, WeightType.F16 })
                Assert.Equal((present, false), Plan(mix.Name, 8).TypeOf(name, shape, present));
        }
    }

    [Fact]
    public void GivesTheOutputMatrixWhatIsAskedFor()
    {
        string[] untied = ["token_embd.weight", "output.weight"];
        ModelFacts model = new(8, 0, false);
        WeightType Type(string mix, WeightType? output, string[] names, string name) => new QuantPlan(QuantMix.Find(mix), output, names, model).TypeOf(name, [256, 64], WeightType.F32).Type;
        Assert.Equal(WeightType.Q6_K, Type("Q4_K_S", null, untied, "output.weight"));
        Assert.Equal(WeightType.Q4_K, Type("Q4_K_S", null, untied, "token_embd.weight"));
        Assert.Equal(WeightType.Q6_K, Type("Q4_K_S", null, untied[..1], "token_embd.weight"));
        Assert.Equal(WeightType.F16, Type("Q4_K_S", WeightType.F16, untied, "output.weight"));
        Assert.Equal(WeightType.Q8_0, Type("F16", WeightType.Q8_0, untied[..1], "token_embd.weight"));
        Assert.Equal(WeightType.Q4_0, Type("Q4_0", WeightType.F16, untied, "token_embd.weight"));
    }

    // Eight experts share one small attention block: its values and keys get 8 bits.
    [Fact]
    public void TreatsEightExpertsAsMixtral()
    {
        QuantPlan plan = new(QuantMix.Find("Q4_K_M"), null, ["blk.0.attn_v.weight", "output.weight"], new ModelFacts(32, 8, false));
        WeightType Type(string name) => plan.TypeOf(name, [4096, 1024], WeightType.F16).Type;
        Assert.Equal((WeightType.Q8_0, WeightType.Q8_0, WeightType.Q5_K, WeightType.Q4_K),
            (Type("blk.0.attn_v.weight"), Type("blk.9.attn_k.weight"), Type("blk.9.attn_output.weight"), Type("blk.9.attn_q.weight")));
    }

    private static QuantPlan Plan(string mix, int layers) => new(QuantMix.Find(mix), null, ["output.weight"], new ModelFacts(layers, 0, false));

    private static WeightType Parse(string name) => Enum.Parse<WeightType>(name, ignoreCase: true);

    [GeneratedRegex(@"^(token_embd|output|blk\.\d+\.(attn_v|attn_qkv|ffn_down|ffn_down_exps))\.weight$")]
    private static partial Regex Ruled();
}
