using Flint.Engine;
using Flint.Models;
using Flint.Tests.Simulation;
using EngineUnderTest = Flint.Engine.Engine;

namespace Flint.Tests.Engine;

/// <summary>An engine over the simulated forward, stepped by the test.</summary>
internal sealed class EngineHarness : IDisposable
{
    public EngineHarness(
        SimulatedForward? forward = null, TokenTable? table = null, int pages = 64, int running = 0, int waiting = 16,
        int events = 64, bool cache = true, TimeProvider? time = null, int slack = 128)
    {
        Forward = forward ?? new SimulatedForward();
        Table = table ?? Vocabularies.Mixed(Forward.VocabularySize);
        Engine = new EngineUnderTest(Forward, Table, new EngineOptions
        {
            KvBytes = pages * KvPool.PageBytes(Forward.Shape),
            MaxRunning = running,
            MaxWaiting = waiting,
            EventCapacity = events,
            PrefixCache = cache,
            ShareSlack = slack,
            Seed = 1,
        }, time ?? Time);
    }

    public SimulatedForward Forward { get; }

    public TokenTable Table { get; }

    public FakeTime Time { get; } = new();

    public EngineUnderTest Engine { get; }

    public void Dispose() => Engine.Dispose();

    /// <summary>A prompt of letters, no special token among them.</summary>
    public static int[] Prompt(int length, int seed = 0)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, length).Select(_ => random.Next(8, 64))];
    }

    public void Finish(int mostSteps = 10_000)
    {
        while (Engine.Step())
            Assert.True(mostSteps-- > 0, "the engine does not come to an end");
    }

    /// <summary>Reads all events there are now.</summary>
    public static (List<int> Tokens, string Text, FinishReason? Finish) Read(Sequence sequence)
    {
        var tokens = new List<int>();
        string text = "";
        FinishReason? finish = null;
        while (sequence.TryRead(out TokenEvent next))
        {
            text += next.Text;
            if (next.Kind == TokenEventKind.Token)
                tokens.Add(next.Token);
            finish = next.FinishReason;
        }
        return (tokens, text, finish);
    }
}
