using Flint.App.Upstreams;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>
/// A chat answer that an upstream writes: brings its news to the choices of the answer, under the rules that hold for all. Where the
/// model may spawn sub-agents, it is asked again once they have answered.
/// </summary>
internal sealed class UpstreamChat
{
    private readonly UpstreamTurn _turn;
    private readonly UpstreamSpawning? _spawning;
    private readonly Choice[] _choices;

    /// <summary>Prepares an answer.</summary>
    /// <param name="turn">What was asked.</param>
    public UpstreamChat(UpstreamTurn turn)
    {
        _turn = turn;
        _spawning = turn.Request.Subagents is null ? null : new UpstreamSpawning(turn);
        _choices = [.. Enumerable.Range(0, turn.Request.Generation.Choices).Select(index => new Choice(turn, index, _spawning))];
    }

    /// <summary>The choices.</summary>
    public ChatOutput[] Outputs => [.. _choices.Select(choice => choice.Output)];

    /// <summary>Has an upstream answer.</summary>
    /// <param name="begin">Called once there is something to tell: until then the request can still be refused.</param>
    /// <param name="tell">What to do with news of a choice that goes on.</param>
    /// <param name="limit">How long it may take, and whether the client has left.</param>
    public async Task RunAsync(Func<ValueTask> begin, Func<ChatOutput, ValueTask> tell, TimeLimit limit)
    {
        UpstreamAnswer? answer = _spawning is null ? await _turn.ReserveAsync() : await _spawning.ReserveAsync();
        bool begun = false;
        try
        {
            while (answer is not null)
            {
                await answer.BeginAsync(_turn.Meter.Note, limit.Token);
                if (!begun)
                    await begin();
                begun = true;
                await ReadAsync(answer, tell, limit.Token);
                UpstreamAnswer last = answer;
                answer = null;
                await last.DisposeAsync();
                if (_spawning is not null)
                    answer = await GoOnAsync(_spawning, last, tell, limit.Token);
            }
        }
        catch (Exception) when (limit.HasPassed)
        {
            if (_spawning is not null)
                await _spawning.Chat.LeaveAsync();
            if (!begun)
                await begin();
            foreach (Choice choice in _choices)
            {
                choice.CutOff();
                await choice.JudgeAsync(CancellationToken.None); // what was not told is still to be judged
            }
        }
        finally
        {
            if (answer is not null)
                await answer.DisposeAsync();
            if (_spawning is not null)
                await _spawning.EndAsync(answer, _choices[0].Output);
        }
    }

    private async Task ReadAsync(UpstreamAnswer answer, Func<ChatOutput, ValueTask> tell, CancellationToken cancellation)
    {
        var news = new List<UpstreamNews>();

        // After the ends of all choices comes the usage, but for choices that were cut short: they would be written on until then.
        while (!(_choices.All(choice => choice.HasEnded || choice.Waits) && _choices.Any(choice => choice.IsCut)) && await answer.ReadAsync(news))
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

    /// <summary>Has sub-agents answer the calls of a turn, where it has any.</summary>
    /// <returns>What goes on from their answers; null where the answer has ended.</returns>
    private async Task<UpstreamAnswer?> GoOnAsync(UpstreamSpawning spawning, UpstreamAnswer last, Func<ChatOutput, ValueTask> tell, CancellationToken cancellation)
    {
        spawning.Settle(last);
        Choice choice = _choices[0];
        if (!choice.Waits || choice.HasEnded)
            return null;
        while (await spawning.Chat.ReadAsync(cancellation) is { } thoughts)
        {
            choice.Think(thoughts);
            await choice.JudgeAsync(cancellation);
            if (choice.HasEnded)
            {
                await spawning.Chat.LeaveAsync();
                return null;
            }

            if (choice.Output.HasNews)
                await tell(choice.Output);
        }

        UpstreamAnswer? next = spawning.Ask();
        choice.GoOn(hasRoom: next is not null);
        await choice.JudgeAsync(cancellation);
        return next;
    }

    private sealed class Choice(UpstreamTurn turn, int index, UpstreamSpawning? spawning)
    {
        private bool _hasContent;

        public ChatOutput Output { get; } = new(index, OutputFilter.Of(turn.Meter, index), turn.Meter.Answers);

        /// <summary>Whether its upstream was left before it had ended.</summary>
        public bool IsCut { get; private set; }

        /// <summary>Whether it goes on once sub-agents have answered.</summary>
        public bool Waits { get; private set; }

        public bool HasEnded => Output.FinishReason is not null;

        public void Take(in UpstreamNews news)
        {
            if (HasEnded || Waits)
                return;
            if (news.Finish is string reason)
            {
                Output.StopString = news.Stop;
                Output.IsContextFull = reason == "length" && !turn.IsClipped && turn.MaxOutput < turn.Request.MaxTokens;
                Waits = reason is "stop" or "tool_calls" && spawning?.Chat.HandOver() == true;
                if (!Waits)
                    Output.FinishReason = spawning is { Chat.MetLimit: true } ? "length" : reason;
                return;
            }

            ResponseDelta delta = news.Delta;
            if (delta.Kind == ResponseDeltaKind.Reasoning && turn.HidesReasoning)
                return;
            if (delta.Kind == ResponseDeltaKind.ToolCallStart)
                delta = delta with { ToolId = turn.NewCallId(delta.ToolIndex) };
            if (spawning?.Chat.Takes(ref delta) == true)
            {
                if (delta.Kind == ResponseDeltaKind.ToolCallEnd && !turn.Request.ParallelToolCalls)
                    Pause(); // one call is all that was asked for
                return;
            }

            if (delta.Kind == ResponseDeltaKind.Content)
                Separate(delta.Text);
            Output.Add(delta);
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

        /// <summary>Takes what sub-agents think.</summary>
        public void Think(string thoughts)
        {
            if (!turn.HidesReasoning)
                Output.Add(new ResponseDelta(ResponseDeltaKind.Reasoning, thoughts));
            if (Output.IsDenied)
                Cut(OutputFilter.FinishReason);
        }

        /// <summary>Goes on with their answers.</summary>
        public void GoOn(bool hasRoom)
        {
            Waits = false;
            IsCut = false;
            if (!hasRoom)
                Output.FinishReason = "length";
        }

        public void CutOff()
        {
            if (HasEnded)
                return;
            Output.IsLate = true;
            Cut("length");
        }

        private void Cut(string reason)
        {
            IsCut = true;
            Waits = false;
            Output.FinishReason = reason;
        }

        private void Pause()
        {
            IsCut = true;
            Waits = spawning!.Chat.HandOver();
            if (!Waits)
                Output.FinishReason = "length";
        }

        // What is said before and after sub-agents were asked is one text to the caller.
        private void Separate(string text)
        {
            if (spawning is null || string.IsNullOrWhiteSpace(text))
                return;
            if (spawning.Chat.IsFirstContent() && _hasContent)
                Output.Add(new ResponseDelta(ResponseDeltaKind.Content, "\n\n"));
            _hasContent = true;
        }
    }
}
