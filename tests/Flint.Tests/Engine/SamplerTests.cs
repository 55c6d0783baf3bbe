using Flint.Engine;

namespace Flint.Tests.Engine;

public sealed class SamplerTests
{
    private const int Vocabulary = 3000;

    private static readonly SamplingOptions[] Settings =
    [
        new() { Temperature = 0 },
        new() { Temperature = 0, RepetitionPenalty = 1.5f, PenaltyWindow = 7 },
        new(),
        new() { Temperature = 0.5f },
        new() { Temperature = 3 },
        new() { Temperature = 1e-6f },
        new() { TopK = 1 },
        new() { TopK = 40 },
        new() { TopK = Vocabulary + 5, TopP = 0.5f },
        new() { TopP = 0.95f },
        new() { TopP = 0 },
        new() { TopP = 0.3f, Temperature = 2 },
        new() { TopP = 0.999f, Temperature = 5 },
        new() { MinP = 0.05f },
        new() { MinP = 1 },
        new() { TypicalP = 0.7f },
        new() { TypicalP = 0.2f, Temperature = 2 },
        new() { TopK = 64, TopP = 0.95f, Temperature = 1 },
        new() { TopK = 200, TopP = 0.9f, MinP = 0.02f, TypicalP = 0.8f, Temperature = 1.3f },
        new() { TopP = 0.9f, MinP = 0.02f, TypicalP = 0.8f, Temperature = 1.3f },
        new() { FrequencyPenalty = 0.7f, TopK = 30 },
        new() { PresencePenalty = -1.2f, TopP = 0.8f },
        new() { RepetitionPenalty = 1.3f, FrequencyPenalty = 0.2f, PresencePenalty = 0.4f, PenaltyWindow = 12, TopP = 0.9f },
        new() { LogitBias = new() { [3] = 30, [4] = 29.5f, [5] = float.NegativeInfinity }, TopK = 3 },
        new() { LogitBias = new() { [0] = -100, [Vocabulary - 1] = 4 }, RepetitionPenalty = 0.8f, MinP = 0.01f },
    ];

    public static TheoryData<int> SettingIndices => [.. Enumerable.Range(0, Settings.Length)];

    /// <summary>The draw is monotone in the uniform number, so a grid of them shows the whole distribution.</summary>
    [Theory]
    [MemberData(nameof(SettingIndices))]
    public void DrawsFollowThePlainDistribution(int setting)
    {
        SamplingOptions options = Settings[setting];
        var sampler = new Sampler(Vocabulary);
        for (int seed = 0; seed < 6; seed++)
        {
            float[] logits = Logits(seed);
            int[] tokens = History(seed, logits);
            SortedDictionary<int, double> expected = SlowSampler.Distribution(logits, options, tokens, promptLength: 10);
            var cumulative = new List<(int Id, double Below, double Through)>();
            double sum = 0;
            foreach ((int id, double p) in expected)
            {
                cumulative.Add((id, sum, sum + p));
                sum += p;
            }
            for (int i = 0; i < 400; i++)
            {
                double uniform = (i + 0.5) / 400;
                int token = sampler.Sample(logits, options, tokens, 10, uniform);
                (int Id, double Below, double Through) entry = cumulative.Find(c => c.Id == token);
                Assert.True(entry.Through > 0, $"token {token} is not among the {expected.Count} kept");
                Assert.InRange(uniform, entry.Below - 2e-6, entry.Through + 2e-6);
            }
        }
    }

    [Fact]
    public void GreedyTakesTheLowestOfEqualLogits()
    {
        var sampler = new Sampler(100);
        float[] logits = new float[100];
        logits[77] = logits[41] = logits[90] = 2;
        Assert.Equal(41, sampler.Sample(logits, new SamplingOptions { Temperature = 0 }, [], 0, 0.99));
        Assert.Equal(41, sampler.Sample(logits, new SamplingOptions { TopK = 1 }, [], 0, 0.99));
        // Top-k keeps the lower ids of equals.
        Assert.Equal(77, sampler.Sample(logits, new SamplingOptions { TopK = 2 }, [], 0, 0.999999));
    }

    [Fact]
    public void TheEndsOfTheUniformRangeDrawKeptTokens()
    {
        var sampler = new Sampler(Vocabulary);
        float[] logits = Logits(9);
        foreach (SamplingOptions options in Settings)
        {
            SortedDictionary<int, double> kept = SlowSampler.Distribution(logits, options, [], 0);
            Assert.Contains(sampler.Sample(logits, options, [], 0, 0), kept.Keys);
            Assert.Contains(sampler.Sample(logits, options, [], 0, Math.BitDecrement(1.0)), kept.Keys);
        }
    }

    [Fact]
    public void LogitsWithoutANumberAreRefused()
    {
        var sampler = new Sampler(100);
        float[] logits = new float[100];
        logits[50] = float.NaN;
        Assert.Equal(-1, sampler.Sample(logits, new SamplingOptions(), [], 0, 0.5));
        Assert.True(double.IsNaN(sampler.LogSumExp(logits)));
        Array.Fill(logits, float.NegativeInfinity);
        Assert.Equal(-1, sampler.Sample(logits, new SamplingOptions { TopP = 0.5f }, [], 0, 0.5));
        logits[99] = 1;
        Assert.Equal(99, sampler.Sample(logits, new SamplingOptions { TopP = 0.5f }, [], 0, 0.5));
        Assert.Equal(99, sampler.Sample(logits, new SamplingOptions(), [], 0, 0.999));
    }

    [Fact]
    public void LogprobsAreThoseOfTheRawLogits()
    {
        var sampler = new Sampler(Vocabulary);
        float[] logits = Logits(3);
        logits[12] = logits[2000] = logits.Max() + 1; // a tie for the first place
        double max = logits.Max();
        double exact = max + Math.Log(logits.Sum(l => Math.Exp(l - max)));
        double logSumExp = sampler.LogSumExp(logits);
        Assert.Equal(exact, logSumExp, 1e-6);

        int[] tokens = new int[20];
        float[] logprobs = new float[20];
        Sampler.Top(logits, logSumExp, tokens, logprobs);
        Assert.Equal(Enumerable.Range(0, Vocabulary).OrderByDescending(i => logits[i]).ThenBy(i => i).Take(20), tokens);
        Assert.All(tokens.Zip(logprobs), t => Assert.Equal(logits[t.First] - exact, t.Second, 1e-5));
        Assert.Equal((12, 2000), (tokens[0], tokens[1]));
    }

    [Fact]
    public void UniformsAreFixedBySeedSampleAndIndex()
    {
        Assert.Equal(Sampler.Uniform(Sampler.SampleSeed(5, 0), 3), Sampler.Uniform(Sampler.SampleSeed(5, 0), 3));
        // SplitMix64's published first output for the state 0 is 0xE220A8397B1DCDAF.
        Assert.Equal((0xE220A8397B1DCDAFUL >> 11) * Math.Pow(2, -53), Sampler.Uniform(0, 0));
        var seen = new HashSet<double>();
        double sum = 0;
        for (int sample = 0; sample < 100; sample++)
        {
            for (int index = 0; index < 100; index++)
            {
                double u = Sampler.Uniform(Sampler.SampleSeed(42, sample), index);
                Assert.InRange(u, 0, Math.BitDecrement(1.0));
                Assert.True(seen.Add(u));
                sum += u;
            }
        }
        Assert.InRange(sum / 10_000, 0.49, 0.51);
    }

    [Fact]
    public void OptionsOutOfRangeAreTheCallersFault()
    {
        SamplingOptions[] wrong =
        [
            new() { Temperature = -0.1f }, new() { Temperature = float.NaN }, new() { TopK = -1 }, new() { TopP = 1.01f },
            new() { TopP = float.NaN }, new() { MinP = -0.1f }, new() { TypicalP = 2 }, new() { FrequencyPenalty = float.PositiveInfinity },
            new() { PresencePenalty = float.NaN }, new() { RepetitionPenalty = 0 }, new() { PenaltyWindow = -1 },
            new() { LogitBias = new() { [Vocabulary] = 1 } }, new() { LogitBias = new() { [-1] = 1 } },
            new() { LogitBias = new() { [1] = float.PositiveInfinity } }, new() { LogitBias = new() { [1] = float.NaN } },
            new() { LogitBias = Enumerable.Range(0, SamplingOptions.MaxLogitBiases + 1).ToDictionary(i => i, _ => 1f) },
        ];
        foreach (SamplingOptions options in wrong)
            Assert.Equal(FaultSide.Caller, Assert.Throws<FlintException>(() => options.Validate(Vocabulary + 2000 * (options.LogitBias?.Count > 9 ? 1 : 0))).Side);
        foreach (SamplingOptions options in Settings)
            options.Validate(Vocabulary);
    }

    private static float[] Logits(int seed)
    {
        var random = new Random(seed);
        float[] logits = new float[Vocabulary];
        for (int i = 0; i < Vocabulary; i++)
        {
            double normal = Math.Sqrt(-2 * Math.Log(1 - random.NextDouble())) * Math.Cos(2 * Math.PI * random.NextDouble());
            logits[i] = (float)(2.5 * normal);
        }
        return logits;
    }

    private static int[] History(int seed, float[] logits)
    {
        var random = new Random(seed + 1000);
        int[] likely = [.. Enumerable.Range(0, Vocabulary).OrderByDescending(i => logits[i]).Take(20)];
        return [.. Enumerable.Range(0, 25).Select(_ => likely[random.Next(likely.Length)])];
    }
}
