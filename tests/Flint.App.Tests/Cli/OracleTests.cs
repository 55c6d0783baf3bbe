using System.Runtime.InteropServices;
using System.Text.Json;
using Flint.Models;

namespace Flint.App.Tests.Cli;

/// <summary><c>flint oracle</c> and <c>flint bench</c> on a tiny model.</summary>
public sealed class OracleTests : IDisposable
{
    private const int Prefill = 40;
    private readonly string _folder = Directory.CreateTempSubdirectory("flint-oracle-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private string Model => Path.Combine(_folder, "tiny.gguf");

    /// <summary>Writes a model and, as its reference, what this very engine computes for it token by token.</summary>
    private float[] Write()
    {
        TinyModel.Write(Model);
        int[] tokens = [.. Enumerable.Range(0, 48).Select(i => 3 + (i * 37 % 250))];
        using var model = Flint.Models.Model.Load(Model, new ModelOptions { MaxBatchRows = 1, Threads = 1 });
        using var pool = new KvPool(model.Config.KvShape, 8);
        var state = new SequenceState(pool, 64);
        var batch = new Batch(1, 1, 1);
        var logits = new List<float>();
        for (int i = 0; i < tokens.Length; i++)
        {
            batch.Clear();
            Assert.True(state.TryReserve(1));
            batch.Add(batch.AddSequence(state), tokens[i], i, true);
            model.Forward(batch);
            logits.AddRange(model.Logits(0));
        }
        File.WriteAllText(Path.Combine(_folder, "tiny.json"), JsonSerializer.Serialize(new { tokens, prefill = Prefill, n_vocab = TinyModel.Vocabulary }));
        return [.. logits];
    }

    private JsonElement Compare(float[] reference)
    {
        File.WriteAllBytes(Path.Combine(_folder, "tiny.logits.f32"), MemoryMarshal.AsBytes<float>(reference));
        FlintProcess.Result run = FlintProcess.Run(["oracle", Model]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        return JsonDocument.Parse(Assert.Single(run.Output.TrimEnd('\n').Split('\n'))).RootElement;
    }

    private static (double RelRms, double MaxAbs, int Mismatch, int Positions) Figures(JsonElement e) =>
        (e.GetProperty("rel_rms").GetDouble(), e.GetProperty("max_abs").GetDouble(), e.GetProperty("greedy_mismatch").GetInt32(), e.GetProperty("positions").GetInt32());

    [Fact]
    public void A_reference_of_the_same_engine_is_met_to_the_bit_in_batch_and_in_steps()
    {
        JsonElement line = Compare(Write());
        Assert.Equal("tiny", line.GetProperty("model").GetString());
        Assert.Equal((0.0, 0.0, 0, 48), Figures(line));
        Assert.Equal((0.0, 0.0, 0, Prefill), Figures(line.GetProperty("batched")));
        Assert.Equal((0.0, 0.0, 0, 48), Figures(line.GetProperty("single")));
    }

    [Fact]
    public void Differences_are_measured_where_they_are()
    {
        float[] reference = Write();
        int row = 10 * TinyModel.Vocabulary, last = 47 * TinyModel.Vocabulary;
        double power = 0;
        reference[row + 5] += 100; // a new maximum in the prompt
        float before = reference[last];
        reference[last] -= 0.25f; // a small change after it
        double second = before - reference[last];
        foreach (float value in reference) power += (double)value * value;

        JsonElement line = Compare(reference);
        var (relRms, maxAbs, mismatch, positions) = Figures(line);
        Assert.Equal(100, maxAbs, 4);
        Assert.Equal(Math.Sqrt((maxAbs * maxAbs) + (second * second)) / Math.Sqrt(power), relRms, 9);
        Assert.Equal((1, 48), (mismatch, positions));
        Assert.Equal((1, Prefill), (Figures(line.GetProperty("batched")).Mismatch, Figures(line.GetProperty("batched")).Positions));
        Assert.Equal(maxAbs, Figures(line.GetProperty("single")).MaxAbs);
    }

    [Fact]
    public void A_reference_that_does_not_fit_is_refused()
    {
        float[] reference = Write();
        string logits = Path.Combine(_folder, "tiny.logits.f32"), json = Path.Combine(_folder, "tiny.json");
        Assert.Contains("not there", FlintProcess.Run(["oracle", Model]).Complaint, StringComparison.Ordinal);
        File.WriteAllBytes(logits, MemoryMarshal.AsBytes<float>(reference)[..^4]);
        Assert.Contains($"48 × {TinyModel.Vocabulary}", FlintProcess.Run(["oracle", Model]).Complaint, StringComparison.Ordinal);
        foreach (string bad in new[] { "{", "[]", """{"tokens":[1,2],"prefill":3,"n_vocab":4}""", """{"tokens":["a"],"n_vocab":4}""", """{"tokens":[],"n_vocab":4}""" })
        {
            File.WriteAllText(json, bad);
            Assert.Contains("tiny.json", FlintProcess.Run(["oracle", Model]).Complaint, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Families_with_a_reference_meet_it()
    {
        foreach (string name in new[] { "llama31", "qwen3", "muse_glimmer" })
        {
            FlintProcess.Result run = FlintProcess.Run(["oracle", TestData.Shared($"oracles/models/{name}.gguf")]);
            Assert.Equal((0, ""), (run.Code, run.Errors));
            JsonElement line = JsonDocument.Parse(run.Output).RootElement;
            foreach (JsonElement part in new[] { line, line.GetProperty("batched"), line.GetProperty("single") })
            {
                Assert.InRange(part.GetProperty("rel_rms").GetDouble(), 0, 2e-5);
                Assert.Equal(0, part.GetProperty("greedy_mismatch").GetInt32());
            }
        }
    }

    [Fact]
    public void Bench_reports_the_tests_asked_for()
    {
        TinyModel.Write(Model);
        FlintProcess.Result run = FlintProcess.Run(["bench", Model, "-p", "16", "-n", "4", "-r", "3", "--threads", "1", "--json"]);
        Assert.Equal((0, ""), (run.Code, run.Errors));
        JsonElement json = JsonDocument.Parse(run.Output).RootElement;
        Assert.True(json.GetProperty("pp16").GetDouble() > 0 && json.GetProperty("tg4").GetDouble() > 0);
        double[] samples = [.. json.GetProperty("samples").GetProperty("pp16").EnumerateArray().Select(e => e.GetDouble()).Order()];
        Assert.Equal(3, samples.Length);
        Assert.Equal(samples[1], json.GetProperty("pp16").GetDouble());
        Assert.Equal(1, json.GetProperty("threads").GetInt32());

        run = FlintProcess.Run(["bench", Model, "-p", "0", "-n", "4", "-d", "40", "-s", "3", "-r", "1", "--json"]);
        Assert.True(JsonDocument.Parse(run.Output).RootElement.GetProperty("tg4@d40x3").GetDouble() > 0);

        run = FlintProcess.Run(["bench", Model, "-p", "0", "-n", "4"]);
        Assert.Contains("tg4", run.Output, StringComparison.Ordinal);
        Assert.DoesNotContain("pp", run.Output, StringComparison.Ordinal);
        Assert.Equal(2, FlintProcess.Run(["bench", Model, "-r", "0"]).Code);
    }
}
