using System.Text.Json;
using Flint.App.Serving;
using Flint.Dialects;
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
        ModelVariant variant = models.Find(request.Generation.Model);
        ServedModel model = variant.Model;
        meter.SetModel(variant.Name);
        if (request.Generation.Sampling.LogitBias is { } bias)
            Generation.CheckTokens(model, bias.Keys, "logit_bias");

        ChatPrompt prompt = Encode(request, model);
        Sequence first = Submit(request, variant, prompt.Ids);
        meter.Add(first.Samples);
        try
        {
            List<ChatChoice> choices = [.. first.Samples.Select(sample => new ChatChoice(sample, model, request, prompt.OpensReasoning, meter))];
            var answer = new Answer(meter, variant, choices, request.Generation.StreamUsage);
            if (request.Generation.Stream)
                await StreamAsync(context, answer);
            else
                await AnswerAsync(context, answer);
        }
        finally
        {
            await Generation.CancelAsync(first.Samples);
        }
    }

    private sealed record Answer(RequestMeter Meter, ModelVariant Model, IReadOnlyList<ChatChoice> Choices, bool TellsUsage);

    private static ChatPrompt Encode(ChatRequest request, ServedModel model)
    {
        var variables = new Dictionary<string, object?>(request.Effort is string effort ? model.Dialect.EffortVariables(effort) : []);
        foreach ((string name, object? value) in request.TemplateVariables)
            variables[name] = value;
        return model.Encode(new TemplateInput
        {
            Messages = request.Conversation.Messages,
            Tools = request.Conversation.Tools,
            Extra = variables,
            BosToken = model.BosText,
            EosToken = model.EosText,
            Now = DateTimeOffset.Now,
        });
    }

    private static Sequence Submit(ChatRequest request, ModelVariant variant, int[] prompt) => variant.Model.Engine.Submit(new GenerationRequest
    {
        Prompt = prompt,
        Adapter = variant.Adapter,
        MaxTokens = request.MaxTokens,
        Sampling = request.Generation.Sampling,
        Stop = [.. request.Generation.Stop, .. variant.Model.ChatStops],
        IgnoreEos = request.Generation.IgnoreEos,
        TopLogprobs = request.TopLogprobs,
        Samples = request.Generation.Choices,
    });

    private static async Task AnswerAsync(HttpContext context, Answer answer)
    {
        await Generation.RunAsync(answer.Choices, static _ => ValueTask.CompletedTask, context.RequestAborted);
        await answer.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(answer.Choices));
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, answer, static (writer, answer) =>
        {
            WriteHead(writer, answer, "chat.completion"u8);
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
        WriteHead(writer, chunk.Answer, "chat.completion.chunk"u8);
        writer.WriteStartArray("choices"u8);
        chunk.Choice.WriteDelta(writer);
        writer.WriteEndArray();
        if (chunk.Answer.TellsUsage)
            writer.WriteNull("usage"u8);
        writer.WriteEndObject();
    }

    private static void WriteUsage(Utf8JsonWriter writer, Answer answer)
    {
        WriteHead(writer, answer, "chat.completion.chunk"u8);
        writer.WriteStartArray("choices"u8);
        writer.WriteEndArray();
        answer.Meter.Usage.Write(writer);
        writer.WriteEndObject();
    }

    private static void WriteHead(Utf8JsonWriter writer, Answer answer, ReadOnlySpan<byte> type)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, answer.Meter.Id);
        writer.WriteString("object"u8, type);
        writer.WriteNumber("created"u8, answer.Meter.Created);
        writer.WriteString("model"u8, answer.Model.Name);
        writer.WriteString("system_fingerprint"u8, answer.Model.Fingerprint);
    }
}
