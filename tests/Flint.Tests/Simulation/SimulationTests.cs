using Flint.Engine;
using Flint.Models;
using EngineUnderTest = Flint.Engine.Engine;

namespace Flint.Tests.Simulation;

/// <summary>Seeded days in the life of the engine: arrivals, cancels, slow readers, forks, a pool that is always short.</summary>
public sealed class SimulationTests
{
    private const int Context = 256;
    private const int Steps = 2500;

    [Theory]
    [InlineData(1, 20, 6, true)] // a pool of 20 pages holds two and a half full contexts
    [InlineData(2, 9, 8, true)] // the longest sequence just fits
    [InlineData(3, 64, 8, true)] // room for all: no preemption by need
    [InlineData(4, 12, 5, false)] // without a prefix cache
    [InlineData(5, 14, 7, true)]
    public void EveryTokenIsRightAndEveryPageAccountedFor(int seed, int pages, int running, bool cache)
    {
        var world = new World(seed, pages, running, cache);
        for (int step = 0; step < Steps; step++)
            world.Tick(arrivals: true);
        int left = 0;
        while (world.Live > 0 && ++left < 20_000)
            world.Tick(arrivals: false);
        Assert.Equal(0, world.Live);
        world.CheckEnd();
    }

    private sealed class World : IDisposable
    {
        private readonly Random _random;
        private readonly TokenTable _table = Vocabularies.Mixed();
        private readonly SimulatedForward _forward = new(Context);
        private readonly FakeTime _time = new();
        private readonly EngineUnderTest _engine;
        private readonly List<Client> _clients = [];
        private readonly int[][] _prefixes;
        private readonly EngineShare[] _shares = [EngineShare.Common, new(1), new(2) { Weight = 3 }];
        private readonly int _pages;
        private int _finished, _cancelled, _refused, _forked;

        public World(int seed, int pages, int running, bool cache)
        {
            _random = new Random(seed);
            _pages = pages;
            _engine = new EngineUnderTest(_forward, _table, new EngineOptions
            {
                KvBytes = pages * KvPool.PageBytes(_forward.Shape),
                MaxRunning = running,
                MaxWaiting = 12,
                PromptRowsWhileDecoding = 24,
                EventCapacity = 16,
                PrefixCache = cache,
                ShareSlack = 24,
                Seed = (ulong)seed,
            }, _time);
            _prefixes = [.. Enumerable.Range(0, 4).Select(i => Tokens(30 + 35 * i))];
        }

        public int Live => _clients.Count;

        public void Tick(bool arrivals)
        {
            if (arrivals && _random.Next(3) == 0)
                Arrive();
            if (arrivals && _clients.Count > 0 && _random.Next(25) == 0)
                _clients[_random.Next(_clients.Count)].Cancel();
            _time.Advance(TimeSpan.FromMilliseconds(_random.Next(50)));
            var cancelled = _clients.Where(c => c.Cancelled).ToList();
            _engine.Step();
            foreach (Client client in cancelled)
                Assert.Equal(SequencePhase.Finished, client.Sequence.Phase);
            PageAudit.Check(_engine, _clients.Select(c => c.Sequence));
            for (int i = _clients.Count - 1; i >= 0; i--)
            {
                if (!_clients[i].Read(_random, eager: !arrivals))
                    continue;
                _clients[i].Verify(_table, _forward.VocabularySize, _engine.ContextLength);
                if (_clients[i].Cancelled)
                    _cancelled++;
                else
                    _finished++;
                _clients.RemoveAt(i);
            }
        }

        public void CheckEnd()
        {
            Assert.False(_engine.Step());
            EngineStatistics statistics = _engine.Statistics;
            Assert.Equal(0, statistics.Running + statistics.Waiting);
            Assert.Equal(_pages, statistics.FreePages + statistics.CachedPages);
            _engine.Tree?.Clear();
            Assert.Equal(_pages, _engine.Pool.FreePages);

            // The run met what it was made to meet.
            Assert.True(_finished > 100, $"{_finished} finished");
            Assert.True(_cancelled > 10, $"{_cancelled} cancelled");
            Assert.True(_forked > 5, $"{_forked} forked");
            Assert.True(_refused > 0, "none refused");
            Assert.Equal(0, statistics.Failed);
            Assert.Equal(_refused, statistics.Refused);
            if (_engine.Tree is not null)
                Assert.True(statistics.CachedTokens > 1000, $"{statistics.CachedTokens} cached");
            if (_pages < 64)
                Assert.True(statistics.Preemptions > 20, $"{statistics.Preemptions} preempted");
            Dispose();
        }

        public void Dispose() => _engine.Dispose();

        private void Arrive()
        {
            int[] tail = Tokens(_random.Next(1, 60));
            int[] prompt = _random.Next(4) == 0 ? tail : [.. _prefixes[_random.Next(_prefixes.Length)], .. tail];
            if (prompt.Length > 200)
                prompt = prompt[..200];
            if (_random.Next(5) == 0 && _clients.Count > 0)
                prompt = _clients[_random.Next(_clients.Count)].Prompt; // the same again, often cut at a page border
            if (_random.Next(3) == 0 && prompt.Length > KvPool.PageTokens)
                prompt = prompt[..(prompt.Length / KvPool.PageTokens * KvPool.PageTokens)];
            var request = new GenerationRequest
            {
                Prompt = prompt,
                MaxTokens = _random.Next(5) switch { 0 => _random.Next(3), 1 => int.MaxValue, _ => _random.Next(1, 70) },
                Samples = _random.Next(5) == 0 ? _random.Next(2, 6) : 1,
                Stop = _random.Next(2) == 0 ? ["stop", "abca", "é€"] : [],
                IgnoreEos = _random.Next(4) == 0,
                ShowSpecial = _random.Next(4) == 0,
                TopLogprobs = _random.Next(-1, 4),
                PromptLogprobs = _random.Next(6) == 0,
                CacheSalt = (ulong)_random.Next(2),
                Share = _shares[_random.Next(_shares.Length)],
                Sampling = new SamplingOptions
                {
                    Temperature = _random.Next(3) == 0 ? 0 : 0.7f,
                    TopK = _random.Next(2) * 10,
                    TopP = 0.9f,
                    RepetitionPenalty = 1 + _random.Next(2) * 0.1f,
                    PresencePenalty = _random.Next(2) * 0.2f,
                    Seed = (ulong)_random.Next(),
                },
            };
            try
            {
                Sequence first = _engine.Submit(request);
                _clients.AddRange(first.Samples.Select(s => new Client(s, request)));
                _forked += first.Samples.Count - 1;
            }
            catch (FlintException fault) when (fault.Code == "queue_full")
            {
                Assert.NotNull(fault.RetryAfter);
                _refused++;
            }
        }

        private int[] Tokens(int count) => [.. Enumerable.Range(0, count).Select(_ => _random.Next(_table.Count))];
    }

    private sealed class Client(Sequence sequence, GenerationRequest request)
    {
        private readonly List<int> _tokens = [];
        private readonly List<float> _logprobs = [];
        private string _text = "";
        private FinishReason? _finish;

        public Sequence Sequence => sequence;

        public int[] Prompt => request.Prompt;

        public bool Cancelled { get; private set; }

        public void Cancel()
        {
            Cancelled |= sequence.FinishReason is null;
            sequence.Cancel();
        }

        /// <summary>Reads a few events, all, or none for a while. True once the last was read.</summary>
        public bool Read(Random random, bool eager)
        {
            int most = eager ? int.MaxValue : random.Next(8) == 0 ? random.Next(40) : 0;
            while (most-- > 0 && sequence.TryRead(out TokenEvent next))
            {
                _text += next.Text;
                if (next.Kind == TokenEventKind.Token)
                {
                    _tokens.Add(next.Token);
                    _logprobs.Add(next.Logprob);
                    Assert.Equal(Math.Max(0, request.TopLogprobs), next.Top?.Length ?? 0);
                }
                _finish = next.FinishReason;
            }
            return _finish is not null;
        }

        public void Verify(TokenTable table, int vocabulary, int context)
        {
            Expectation expected = Expectation.Of(request, table, sequence.SampleIndex, context - request.Prompt.Length, vocabulary);
            if (Cancelled && _finish == FinishReason.Cancelled)
            {
                Assert.True(_tokens.Count <= expected.Tokens.Count);
                Assert.Equal(expected.Tokens.Take(_tokens.Count), _tokens);
                return;
            }
            Assert.Equal(expected.Finish, _finish);
            Assert.Equal(expected.Text, _text);
            // Tokens that only make up the stop string are not shown.
            Assert.Equal(expected.Tokens.Take(_tokens.Count), _tokens);
            Assert.Equal(expected.Tokens.Count, sequence.OutputTokens);
            if (expected.Finish == FinishReason.Length || request.Stop.Count == 0)
                Assert.Equal(expected.Tokens.Count, _tokens.Count);
            Assert.All(_logprobs, l => Assert.Equal(request.TopLogprobs >= 0, !float.IsNaN(l)));
            VerifyScores(vocabulary);
        }

        private void VerifyScores(int vocabulary)
        {
            float[] scores = sequence.PromptLogprobs.ToArray();
            Assert.Equal(request.PromptLogprobs ? request.Prompt.Length : 0, scores.Length);
            float[] logits = new float[vocabulary];
            for (int i = 1; i < scores.Length; i++)
            {
                SimulatedForward.FillLogits(SimulatedForward.Hash(request.Prompt.AsSpan(0, i)), logits);
                double sum = logits.Sum(l => Math.Exp(l));
                Assert.Equal(logits[request.Prompt[i]] - Math.Log(sum), scores[i], 1e-5);
                Assert.Equal(Math.Max(0, request.TopLogprobs), sequence.PromptTop(i).Length);
                if (request.TopLogprobs > 0)
                    Assert.Equal(Array.IndexOf(logits, logits.Max()), sequence.PromptTop(i)[0].Token);
            }
        }
    }
}
