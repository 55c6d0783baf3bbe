using System.Text.Json;
using Flint.App.Serving;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary><c>POST /v1/chat/completions</c>: messages in, a message out, whole or as a stream.</summary>
internal sealed class OpenAiChat(Models models)
{
    /// <summary>Answers a request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        RequestMeter meter = RequestMeter.Of(context);
        ChatRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = ChatRequest.Read(body.RootElement);
        (ModelVariant variant, ReasoningMode? mode) = models.FindWithMode(request.Generation.Model);
        meter.SetModel(variant.Name);
        if (request.Generation.Sampling.LogitBias is { } bias)
            Generation.CheckTokens(variant.Model, bias.Keys, "logit_bias");

        var turn = ChatTurn.Create(context, request, variant, mode);
        if (turn.Plan.Mode == ReasoningMode.Contemplating)
        {
            await ContemplatingChat.HandleAsync(context, turn);
            return;
        }

        Sequence first = await turn.SubmitAsync();
        List<ChatChoice> choices = [];
        try
        {
            choices.AddRange(first.Samples.Select(sample => new ChatChoice(sample, turn)));
            var answer = new Answer(turn, choices);
            if (request.Generation.Stream)
                await StreamAsync(context, answer);
            else
                await AnswerAsync(context, answer);
        }
        finally
        {
            await Generation.CancelAsync(choices.Count > 0 ? [.. choices.Select(choice => choice.Sequence)] : first.Samples);
        }
    }

    private sealed record Answer(ChatTurn Turn, IReadOnlyList<ChatChoice> Choices)
    {
        public RequestMeter Meter => Turn.Meter;

        public bool TellsUsage => Turn.Request.Generation.StreamUsage;
    }

    private static async Task AnswerAsync(HttpContext context, Answer answer)
    {
        await Generation.RunAsync(answer.Choices, static _ => ValueTask.CompletedTask, context.RequestAborted);
        await answer.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(answer.Choices));
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, answer, static (writer, answer) =>
        {
            answer.Turn.WriteHead(writer, "chat.completion"u8);
            writer.WriteStartArray("choices"u8);
            foreach (ChatChoice choice in answer.Choices)
                choice.WriteMessage(writer);
            writer.WriteEndArray();
            answer.Meter.Usage.Write(writer);
            writer.WriteEndObject();
        });
    }

    private static async Task StreamAsync(HttpContext context, Answer answer)
    {
        using var stream = new EventStream(context);
        foreach (ChatChoice choice in answer.Choices)
            stream.Write((answer, choice), WriteChunk); // the first chunk of a choice names its role
        await stream.FlushAsync();
        await Generation.RunAsync(answer.Choices, choice =>
        {
            if (choice.FinishReason is not null)
                return ValueTask.CompletedTask; // told below, once it is paid
            stream.Write((answer, choice), WriteChunk);
            return stream.FlushAsync();
        }, context.RequestAborted);

        await answer.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(answer.Choices));
        foreach (ChatChoice choice in answer.Choices)
            stream.Write((answer, choice), WriteChunk);
        if (answer.TellsUsage)
            stream.Write(answer, WriteUsage);
        stream.WriteDone();
        await stream.FlushAsync();
    }

    private static void WriteChunk(Utf8JsonWriter writer, (Answer Answer, ChatChoice Choice) chunk)
    {
        chunk.Answer.Turn.WriteHead(writer, "chat.completion.chunk"u8);
        writer.WriteStartArray("choices"u8);
        chunk.Choice.WriteDelta(writer);
        writer.WriteEndArray();
        if (chunk.Answer.TellsUsage)
            writer.WriteNull("usage"u8);
        writer.WriteEndObject();
    }

    private static void WriteUsage(Utf8JsonWriter writer, Answer answer)
    {
        answer.Turn.WriteHead(writer, "chat.completion.chunk"u8);
        writer.WriteStartArray("choices"u8);
        writer.WriteEndArray();
        answer.Meter.Usage.Write(writer);
        writer.WriteEndObject();
    }
}
