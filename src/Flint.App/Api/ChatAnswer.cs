using Flint.App.Serving;
using Flint.Contemplate;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>Has a model, or an upstream, answer a turn in its mode, and an API tell the answer, whole or as a stream.</summary>
internal static class ChatAnswer
{
    /// <summary>Answers.</summary>
    public static Task RunAsync(HttpContext context, ChatTurn turn, ChatTeller teller) => turn switch
    {
        UpstreamTurn { Plan.Mode: ReasoningMode.Contemplating } contemplated => ContemplateAsync(context, contemplated, new UpstreamContemplation(contemplated), teller),
        UpstreamTurn relayed => RelayAsync(context, relayed, teller),
        EngineTurn { Plan.Mode: ReasoningMode.Contemplating } contemplated => ContemplateAsync(context, contemplated, new EngineContemplation(contemplated), teller),
        _ => GenerateAsync(context, (EngineTurn)turn, teller),
    };

    private static async Task RelayAsync(HttpContext context, UpstreamTurn turn, ChatTeller teller)
    {
        var chat = new UpstreamChat(turn);
        ChatOutput[] outputs = chat.Outputs;
        using var limit = new TimeLimit(turn.Deadline, turn.Meter.Time, context.RequestAborted);
        if (!turn.Request.Generation.Stream)
        {
            await chat.RunAsync(static () => ValueTask.CompletedTask, static _ => ValueTask.CompletedTask, limit);
            await TellWholeAsync(context, turn, teller, outputs);
            return;
        }

        using var stream = new EventStream(context, teller.Form);
        await chat.RunAsync(
            () =>
            {
                teller.Begin(stream, outputs);
                return stream.FlushAsync();
            },
            output =>
            {
                teller.Tell(stream, output);
                return stream.FlushAsync();
            },
            limit);
        await TellEndAsync(stream, turn, teller, outputs);
    }

    private static async Task GenerateAsync(HttpContext context, EngineTurn turn, ChatTeller teller)
    {
        using var limit = new TimeLimit(turn.Deadline, turn.Meter.Time, context.RequestAborted);
        Sequence first = await turn.SubmitAsync();
        List<ChatChoice> choices = [];
        try
        {
            choices.AddRange(first.Samples.Select(sample => new ChatChoice(sample, turn)));
            turn.Running.Choices = choices;
            using CancellationTokenRegistration thought = limit.OnThought(() => choices.ForEach(choice => choice.HurryThinking()));
            ChatOutput[] outputs = [.. choices.Select(choice => choice.Output)];
            if (!turn.Request.Generation.Stream)
            {
                await Generation.RunAsync(choices, static _ => ValueTask.CompletedTask, limit);
                await TellWholeAsync(context, turn, teller, outputs);
                return;
            }

            using var stream = new EventStream(context, teller.Form);
            teller.Begin(stream, outputs);
            await stream.FlushAsync();
            await Generation.RunAsync(choices, choice =>
            {
                if (choice.FinishReason is not null)
                    return ValueTask.CompletedTask; // told below, once it is paid
                teller.Tell(stream, choice.Output);
                return stream.FlushAsync();
            }, limit);
            await TellEndAsync(stream, turn, teller, outputs);
        }
        finally
        {
            foreach (ChatChoice choice in choices)
                await choice.LeaveAsync();
            await Generation.CancelAsync(choices.Count > 0 ? [.. choices.Select(choice => choice.Sequence)] : first.Samples);
        }
    }

    private static async Task ContemplateAsync(HttpContext context, ChatTurn turn, ContemplatingChat chat, ChatTeller teller)
    {
        if (!turn.Request.Generation.Stream)
        {
            await chat.RunAsync(static _ => ValueTask.CompletedTask, context.RequestAborted);
            await TellWholeAsync(context, turn, teller, [chat.Output]);
            return;
        }

        using var stream = new EventStream(context, teller.Form);
        bool begun = false;
        await chat.RunAsync(news =>
        {
            // Until the first agent has started, the request can still be refused.
            if (!begun)
                teller.Begin(stream, [chat.Output]);
            begun = true;
            if (chat.Output.HasNews)
                teller.Tell(stream, chat.Output);
            teller.Tell(stream, news);
            return stream.FlushAsync();
        }, context.RequestAborted);
        await TellEndAsync(stream, turn, teller, [chat.Output]);
    }

    private static async Task TellWholeAsync(HttpContext context, ChatTurn turn, ChatTeller teller, ChatOutput[] outputs)
    {
        await SettleAsync(turn, outputs);
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, (teller, outputs), static (writer, answer) => answer.teller.WriteWhole(writer, answer.outputs));
    }

    private static async Task TellEndAsync(EventStream stream, ChatTurn turn, ChatTeller teller, ChatOutput[] outputs)
    {
        await SettleAsync(turn, outputs);
        teller.End(stream, outputs);
        await stream.FlushAsync();
    }

    private static Task SettleAsync(ChatTurn turn, ChatOutput[] outputs) =>
        turn.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(outputs.Select(output => output.FinishReason)));
}
