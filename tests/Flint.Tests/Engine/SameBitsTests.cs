using System.Runtime.InteropServices;
using Flint.Engine;
using Flint.Formats;
using Flint.Models;
using Flint.Tests.Models;
using Flint.Tokens;
using Flint.Weights;
using EngineUnderTest = Flint.Engine.Engine;

namespace Flint.Tests.Engine;

/// <summary>
/// Invariant 2 through the whole engine, on real forwards of small models: what a request gets, tokens and the bits of its
/// log-probabilities, does not depend on what else runs, on chunking, threads, cached prefixes or lost pages.
/// </summary>
public sealed class SameBitsTests : IDisposable
{
    private const int Context = 256;

    private readonly string _path = Path.Combine(Path.GetTempPath(), $"flint-bits-{Guid.NewGuid():N}.gguf");

    public void Dispose() => File.Delete(_path);

    [Theory]
    [InlineData("llama", WeightType.Q8_0)]
    [InlineData("muse-glimmer", WeightType.Q4_K)]
    public void ARequestGetsTheSameBitsHoweverItIsServed(string architecture, WeightType type)
    {
        TinyModel.Write(_path, architecture, type, context: Context);
        GenerationRequest[] requests = [.. Enumerable.Range(0, 13).Select(Request)];
        List<string>[] alone;
        using (var one = new Served(_path, threads: 1, rows: 512, pages: 256))
            alone = [.. requests.Select(r => one.Run([r])[0])];
        Assert.Equal(13, alone.Select(a => string.Join(' ', a)).Distinct().Count());

        using (var crowd = new Served(_path, threads: 2, rows: 512, pages: 256))
        {
            Assert.Equal(alone, crowd.Run(requests));
            Assert.True(crowd.Engine.Statistics.CachedTokens > 0);
            Assert.Equal(0, crowd.Engine.Statistics.Preemptions);
            long cached = crowd.Engine.Statistics.CachedTokens;
            Assert.Equal(alone, crowd.Run(requests)); // and once more, with everything cached
            Assert.True(crowd.Engine.Statistics.CachedTokens > cached + 300);
        }
        foreach (int rows in new[] { 1, 7, 64 })
        {
            using var chunked = new Served(_path, threads: 1, rows, pages: 256);
            Assert.Equal(alone.Take(4), chunked.Run(requests[..4]));
        }
        using (var cramped = new Served(_path, threads: 2, rows: 48, pages: 12))
        {
            Assert.Equal(alone, cramped.Run(requests));
            Assert.True(cramped.Engine.Statistics.Preemptions >= 2, $"{cramped.Engine.Statistics.Preemptions} preemptions");
        }
    }

    // The same prompts with no adapter and with two: pages computed with one may not serve another.
    [Fact]
    public void RequestsWithDifferentAdaptersRunInOneBatch()
    {
        TinyModel.Write(_path, "qwen3", WeightType.Q8_0, context: Context);
        GenerationRequest[] Requests(Served served) => [.. Enumerable.Range(0, 12).Select(i => Request(6 + i / 3 * 3, served.Adapters[i % 3]))];
        List<string>[] alone;
        using (var one = new Served(_path, threads: 1, rows: 512, pages: 256, adapters: true, cache: false))
            alone = [.. Requests(one).Select(r => one.Run([r])[0])];
        Assert.Equal(12, alone.Select(a => string.Join(' ', a)).Distinct().Count());

        using (var crowd = new Served(_path, threads: 2, rows: 512, pages: 256, adapters: true))
        {
            Assert.Equal(alone, crowd.Run(Requests(crowd)));
            long cached = crowd.Engine.Statistics.CachedTokens;
            Assert.Equal(alone, crowd.Run(Requests(crowd)));
            Assert.True(crowd.Engine.Statistics.CachedTokens > cached + 300);
        }
    }

    [Fact]
    public void AnAdapterOfAnotherModelIsRefused()
    {
        TinyModel.Write(_path, context: Context);
        using var one = new Served(_path, threads: 1, rows: 8, pages: 8, adapters: true);
        using var other = new Served(_path, threads: 1, rows: 8, pages: 8);
        FlintException fault = Assert.Throws<FlintException>(() => other.Engine.Submit(Request(0, one.Adapters[1])));
        Assert.Equal((FaultSide.Caller, "unknown_adapter"), (fault.Side, fault.Code));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void AStepOfARealModelAllocatesNothing(bool adapters)
    {
        TinyModel.Write(_path, context: 1024);
        using var served = new Served(_path, threads: 2, rows: 64, pages: 256, context: 1024, adapters: adapters);
        for (int i = 0; i < 6; i++)
        {
            served.Engine.Submit(new GenerationRequest
            {
                Prompt = [.. Enumerable.Range(0, 20 + i).Select(t => t * 7 % 256)],
                Adapter = served.Adapters[i % 3],
                MaxTokens = 900,
                IgnoreEos = true,
                Stop = ["never to be found"],
                TopLogprobs = i % 3,
                Sampling = new SamplingOptions { TopP = 0.9f, TopK = i * 9, Seed = 3 },
            });
        }
        for (int i = 0; i < 80; i++)
            served.Engine.Step();
        var stretches = new long[4]; // as in AllocationTests
        for (int stretch = 0; stretch < stretches.Length; stretch++)
        {
            long before = GC.GetAllocatedBytesForCurrentThread();
            for (int i = 0; i < 100; i++)
                served.Engine.Step();
            stretches[stretch] = GC.GetAllocatedBytesForCurrentThread() - before;
        }

        Assert.Contains(0, stretches);
        Assert.Equal(6, served.Engine.Statistics.Running);
    }

    // Some begin alike, some score their prompts, some are greedy.
    private static GenerationRequest Request(int i) => Request(i, null);

    private static GenerationRequest Request(int i, ModelAdapter? adapter)
    {
        var random = new Random(i);
        int[] shared = [.. Enumerable.Range(0, i % 3 == 0 ? 70 : 0).Select(t => t * 11 % 256)];
        return new GenerationRequest
        {
            Adapter = adapter,
            Prompt = [.. shared, .. Enumerable.Range(0, 10 + 7 * i).Select(_ => random.Next(256))],
            MaxTokens = i < 6 ? 90 + i : 16 + i,
            IgnoreEos = true,
            TopLogprobs = 5,
            PromptLogprobs = i % 5 == 1,
            Sampling = i % 4 == 0
                ? new SamplingOptions { Temperature = 0 }
                : new SamplingOptions { Temperature = 1.2f, TopP = 0.98f, PresencePenalty = 0.3f, Seed = (ulong)i },
        };
    }

    private sealed class Served : IDisposable
    {
        private readonly Model _model;

        public Served(string path, int threads, int rows, int pages, int context = Context, bool adapters = false, bool cache = true)
        {
            GgufFile file = GgufFile.Open(path);
            _model = Model.Load(file, new ModelOptions
            {
                Threads = threads, ContextLength = context, MaxBatchRows = rows, MaxSequences = 13, MaxLogitRows = 32,
            });
            if (adapters) Adapters = [null, _model.LoadAdapter(LoraAdapters.Random(file, 1)), _model.LoadAdapter(LoraAdapters.Random(file, 2, rank: 20))];
            Engine = new EngineUnderTest(_model, Tokenizer.FromGguf(file.Metadata), new EngineOptions
            {
                KvBytes = pages * KvPool.PageBytes(_model.Config.KvShape),
                PromptRowsWhileDecoding = 32,
                PrefixCache = cache,
            });
        }

        public EngineUnderTest Engine { get; }

        /// <summary>None, and two where they were asked for.</summary>
        public ModelAdapter?[] Adapters { get; } = new ModelAdapter?[3];

        /// <summary>All that each request got: a line per event, floats as bits.</summary>
        public List<string>[] Run(GenerationRequest[] requests)
        {
            Sequence[] sequences = [.. requests.Select(Engine.Submit)];
            while (Engine.Step())
            {
            }
            Assert.All(sequences, s => Assert.Equal(FinishReason.Length, s.FinishReason));
            return [.. sequences.Select(Lines)];
        }

        public void Dispose()
        {
            Engine.Dispose();
            _model.Dispose();
        }

        private static List<string> Lines(Sequence sequence)
        {
            var lines = new List<string>
            {
                Convert.ToHexString(MemoryMarshal.AsBytes(sequence.PromptLogprobs)),
                string.Join(' ', Enumerable.Range(0, sequence.PromptLogprobs.Length).SelectMany(sequence.PromptTop).Select(Bits)),
            };
            while (sequence.TryRead(out TokenEvent next))
                lines.Add($"{next.Kind} {next.Text} {Bits(new TopLogprob(next.Token, next.Logprob))} {string.Join(' ', (next.Top ?? []).Select(Bits))}");
            return lines;
        }

        private static string Bits(TopLogprob top) => $"{top.Token}:{BitConverter.SingleToInt32Bits(top.Logprob):x8}";
    }
}
