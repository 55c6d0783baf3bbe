using Flint.App.Upstreams;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>A chat answer that an upstream writes: brings its news to the choices of the answer, under the rules that hold for all.</summary>
/// <param name="turn">What was asked.</param>
internal sealed class UpstreamChat(UpstreamTurn turn)
{
    private readonly Choice[] _choices = [.. Enumerable.Range(0, turn.Request.Generation.Choices).Select(index => new Choice(turn, index))];

    /// <summary>The choices.</summary>
    public ChatOutput[] Outputs => [.. _choices.Select(choice => choice.Output)];

    /// <summary>Has an upstream answer.</summary>
    /// <param name="begin">Called once there is something to tell: until then the request can still be refused.</param>
    /// <param name="tell">What to do with news of a choice that goes on.</param>
    /// <param name="cancellation">The client has left.</param>
    public async Task RunAsync(Func<ValueTask> begin, Func<ChatOutput, ValueTask> tell, CancellationToken cancellation)
    {
        await using UpstreamAnswer answer = await turn.ReserveAsync();
        await answer.BeginAsync(turn.Meter.Note, cancellation);
        await begin();
        var news = new List<UpstreamNews>();

        // After the ends of all choices comes the usage, but for choices that were cut short: they would be written on until then.
        while (!(_choices.All(choice => choice.HasEnded) && _choices.Any(choice => choice.IsCut)) && await answer.ReadAsync(news))
        {
            foreach (UpstreamNews one in news)
                _choices[one.Choice].Take(one);
            news.Clear();
            foreach (Choice choice in _choices)
            {
                await choice.JudgeAsync(cancellation);
                if (choice.Output.HasNews && !choice.HasEnded)
                    await tell(choice.Output);
            }
        }
    }

    private sealed class Choice(UpstreamTurn turn, int index)
    {
        public ChatOutput Output { get; } = new(index, OutputFilter.Of(turn.Meter, index));

        /// <summary>Whether it has ended before its upstream ended it.</summary>
        public bool IsCut { get; private set; }

        public bool HasEnded => Output.FinishReason is not null;

        public void Take(in UpstreamNews news)
        {
            if (HasEnded)
                return;
            if (news.Finish is string reason)
            {
                Output.StopString = news.Stop;
                Output.IsContextFull = reason == "length" && !turn.IsClipped && turn.MaxOutput < turn.Request.MaxTokens;
                Output.FinishReason = reason;
                return;
            }

            ResponseDelta delta = news.Delta;
            if (delta.Kind == ResponseDeltaKind.Reasoning && turn.HidesReasoning)
                return;
            Output.Add(delta.Kind == ResponseDeltaKind.ToolCallStart ? delta with { ToolId = turn.NewCallId(delta.ToolIndex) } : delta);
            if (Output.IsDenied)
                Cut(OutputFilter.FinishReason);
            else if (delta.Kind == ResponseDeltaKind.ToolCallEnd && !turn.Request.ParallelToolCalls)
                Cut("tool_calls"); // one call is all that was asked for
        }

        public async ValueTask JudgeAsync(CancellationToken cancellation)
        {
            await Output.JudgeAsync(cancellation);
            if (Output.IsDenied && !HasEnded)
                Cut(OutputFilter.FinishReason);
        }

        private void Cut(string reason)
        {
            IsCut = true;
            Output.FinishReason = reason;
        }
    }
}
