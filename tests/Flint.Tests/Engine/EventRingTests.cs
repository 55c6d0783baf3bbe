using System.Text;
using Flint.Engine;
using Flint.Tests.Simulation;

namespace Flint.Tests.Engine;

public sealed class EventRingTests
{
    private static readonly TokenTable Table = Vocabularies.Mixed();

    [Fact]
    public void HalfACharacterWaitsForItsRest()
    {
        var ring = new EventRing(Table, 8, 16, 0);
        int at = 0;
        foreach (int token in new[] { 4, 5, 6, 8 })
        {
            int length = Table.Bytes(token).Length;
            ring.Write(token, 0, at, at += length);
            ring.Publish(at);
        }
        Assert.Equal(["", "", "€", "a"], Texts(ring));
        ring.Write(2, 0, at, at + 1);
        ring.Publish(at + 1);
        ring.Complete(FinishReason.Length, at + 1);
        Assert.Equal(["", "\uFFFD", ""], Texts(ring));
        Assert.Equal(FinishReason.Length, ring.Finish);
    }

    [Fact]
    public void HeldBackEventsComeWithTheirOwnTextOnceReleased()
    {
        var ring = new EventRing(Table, 8, 16, 0);
        Write(ring, "st", 0);
        ring.Publish(0);
        Assert.False(ring.TryRead(out _));
        Write(ring, "a", 2);
        ring.Publish(3);
        Assert.Equal(["st", "a"], Texts(ring));
    }

    [Fact]
    public void TokensOfAStopStringAreDroppedAndAStraddlingOneIsCut()
    {
        var ring = new EventRing(Table, 8, 16, 0);
        Write(ring, "abc", 0);
        ring.Publish(1); // "bc" may begin a stop string
        Write(ring, "stop", 3);
        ring.Publish(1);
        ring.Complete(FinishReason.Stop, 1);
        Assert.True(ring.TryRead(out TokenEvent first));
        Assert.Equal("a", first.Text);
        Assert.True(ring.TryRead(out TokenEvent last));
        Assert.Equal(TokenEventKind.Finished, last.Kind);
    }

    [Fact]
    public void TextHeldBackComesBeforeAHiddenToken()
    {
        var ring = new EventRing(Table, 8, 16, 0);
        Write(ring, "abc", 0);
        ring.Publish(1);
        ring.Write(Vocabularies.Channel, 0, -1, 3);
        ring.Publish(3);
        var events = new List<(TokenEventKind, int, string)>();
        while (ring.TryRead(out TokenEvent next))
            events.Add((next.Kind, next.Token, next.Text));
        Assert.Equal(
            [(TokenEventKind.Token, Id("abc"), "a"), (TokenEventKind.Text, -1, "bc"), (TokenEventKind.Token, Vocabularies.Channel, "")],
            events);
    }

    [Fact]
    public void AFullRingPublishesEvenWhatIsHeldBackButNotItsText()
    {
        var ring = new EventRing(Table, 8, 4, 0);
        for (int i = 0; i < 4; i++)
        {
            Assert.False(ring.IsFull);
            Write(ring, "st", 2 * i);
            ring.Publish(0);
        }
        Assert.True(ring.IsFull);
        Assert.Equal(["", "", "", ""], Texts(ring));
        Assert.True(ring.IsHalfRead);
        Write(ring, "a", 8);
        ring.Publish(9);
        Assert.Equal(["stststst" + "a"], Texts(ring));
    }

    [Fact]
    public void AlternativesTravelWithTheirTokenRoundTheRing()
    {
        var ring = new EventRing(Table, 8, 4, 2);
        for (int i = 0; i < 11; i++)
        {
            ring.NextTops(out Span<int> tokens, out Span<float> logprobs);
            (tokens[0], tokens[1], logprobs[0], logprobs[1]) = (i, i + 1, -i, -i - 1);
            ring.Write(8, -0.5f * i, i, i + 1);
            ring.Publish(i + 1);
            Assert.True(ring.TryRead(out TokenEvent next));
            Assert.Equal([new TopLogprob(i, -i), new TopLogprob(i + 1, -i - 1)], next.Top!);
            Assert.Equal(-0.5f * i, next.Logprob);
        }
    }

    [Fact]
    public async Task WaitersWakeForEventsAndForTheEndAndCanGiveUp()
    {
        var ring = new EventRing(Table, 8, 8, 0);
        using var cancellation = new CancellationTokenSource();
        Task<bool> wait = ring.WaitAsync(cancellation.Token).AsTask();
        Assert.False(wait.IsCompleted);
        await Assert.ThrowsAsync<FlintException>(() => ring.WaitAsync(CancellationToken.None).AsTask());
        await cancellation.CancelAsync();
        await Assert.ThrowsAsync<OperationCanceledException>(() => wait);

        wait = ring.WaitAsync(CancellationToken.None).AsTask();
        Write(ring, "a", 0);
        ring.Publish(1);
        Assert.True(await wait);
        Assert.Equal(["a"], Texts(ring));
        wait = ring.WaitAsync(CancellationToken.None).AsTask();
        ring.Complete(FinishReason.Stop, 1);
        Assert.True(await wait);
        Assert.Equal([""], Texts(ring));
        Assert.False(await ring.WaitAsync(CancellationToken.None));
    }

    [Fact]
    public async Task NothingIsLostBetweenTwoThreads()
    {
        var ring = new EventRing(Table, 8, 8, 0);
        const int count = 20_000;
        Task<(int, string)> consumer = Task.Run(async () =>
        {
            int tokens = 0;
            var text = new StringBuilder();
            while (await ring.WaitAsync(CancellationToken.None))
            {
                while (ring.TryRead(out TokenEvent next))
                {
                    tokens += next.Kind == TokenEventKind.Token ? 1 : 0;
                    text.Append(next.Text);
                }
            }
            return (tokens, text.ToString());
        }, TestContext.Current.CancellationToken);
        for (int i = 0; i < count; i++)
        {
            SpinWait.SpinUntil(() => !ring.IsFull);
            Write(ring, i % 2 == 0 ? "a" : "b", i);
            ring.Publish(i + 1);
        }
        ring.Complete(FinishReason.Length, count);
        (int seen, string all) = await consumer;
        Assert.Equal(count, seen);
        Assert.Equal(string.Concat(Enumerable.Repeat("ab", count / 2)), all);
    }

    private static int Id(string text) =>
        Enumerable.Range(8, 56).First(i => Table.Bytes(i).SequenceEqual(Encoding.UTF8.GetBytes(text)));

    private static void Write(EventRing ring, string text, int start) => ring.Write(Id(text), 0, start, start + text.Length);

    private static List<string> Texts(EventRing ring)
    {
        var texts = new List<string>();
        while (ring.TryRead(out TokenEvent next))
            texts.Add(next.Text);
        return texts;
    }
}
