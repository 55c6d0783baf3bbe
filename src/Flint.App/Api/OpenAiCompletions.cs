using System.Text.Json;
using Flint.App.Serving;
using Flint.App.Upstreams;
using Flint.Contemplate;
using Flint.Dialects;
using Flint.Engine;
using Microsoft.AspNetCore.Http;

namespace Flint.App.Api;

/// <summary>
/// <c>POST /v1/completions</c>: continues text or tokens, and scores them: with <c>echo</c>, <c>logprobs</c> and
/// <c>max_tokens: 0</c> the answer is the log-likelihood of the prompt, token by token.
/// </summary>
internal sealed class OpenAiCompletions(Models models)
{
    /// <summary>Answers a request.</summary>
    public async Task HandleAsync(HttpContext context)
    {
        RequestMeter meter = RequestMeter.Of(context);
        CompletionRequest request;
        using (JsonDocument body = await RequestBody.ReadAsync(context.Request, context.RequestAborted))
            request = CompletionRequest.Read(body.RootElement);
        NamedModel named = models.Find(request.Generation.Model);
        if (named is UpstreamModel upstream)
        {
            var turn = ChatTurn.Create(context, UpstreamChatOf(request, upstream), upstream, byName: null);
            await ChatAnswer.RunAsync(context, turn, new CompletionTeller(turn));
            return;
        }

        var variant = (ModelVariant)named;
        ServedModel model = variant.Model;
        meter.SetModel(variant.Name);
        if (request.Generation.Sampling.LogitBias is { } bias)
            Generation.CheckTokens(model, bias.Keys, "logit_bias");
        foreach (CompletionPrompt prompt in request.Prompts)
            Generation.CheckTokens(model, prompt.Tokens ?? [], "prompt");
        request = InputPolicy.Apply(request, ids => model.Tokenizer.Decode(ids), meter, context.Response.Headers);

        var choices = new List<CompletionChoice>();
        using var limit = new TimeLimit(request.Generation.Deadline, meter.Time, context.RequestAborted);
        try
        {
            await SubmitAsync(request, variant, meter, choices);
            var answer = new Answer(meter, variant, choices, request, request.Generation.StreamUsage, request.Generation.Deadline);
            if (request.Generation.Stream)
                await StreamAsync(context, answer, limit);
            else
                await AnswerAsync(context, answer, limit);
        }
        finally
        {
            await Generation.CancelAsync([.. choices.Select(choice => choice.Sequence)]);
        }
    }

    private sealed record Answer(RequestMeter Meter, ModelVariant Model, List<CompletionChoice> Choices, CompletionRequest Request, bool TellsUsage, TimeSpan? Deadline);

    // An upstream takes one text as it is, and tells what it writes.
    private static ChatRequest UpstreamChatOf(CompletionRequest request, UpstreamModel model)
    {
        if (request.Prompts is not [{ Text: string prompt }])
            throw Models.NotUpstream(model.Name, "prompt", "takes one text");
        if (request.Chooses)
            throw Models.NotUpstream(model.Name, "best_of", "tells all its answers through this server");
        if (request.Echo)
            throw Models.NotUpstream(model.Name, "echo", "does not give prompts back through this server");
        if (request.Logprobs >= 0)
            throw Models.NotUpstream(model.Name, "logprobs", "tells no log-probabilities through this server");
        if (request.MaxTokens == 0)
            throw Models.NotUpstream(model.Name, "max_tokens", "scores no prompts through this server");
        return new ChatRequest
        {
            Generation = request.Generation,
            Conversation = new ChatConversation { Messages = [], RawPrompt = prompt },
            MaxTokens = request.MaxTokens,
            Contemplation = new ContemplationFields(new ContemplationOptions(), [], []),
        };
    }

    private static async Task SubmitAsync(CompletionRequest request, ModelVariant variant, RequestMeter meter, List<CompletionChoice> choices)
    {
        ServedModel model = variant.Model;
        bool scores = request.Logprobs >= 0;
        int samples = request.BestOf;
        int[][] prompts = [.. request.Prompts.Select(prompt => Encode(model, prompt))];
        long output = prompts.Sum(ids => (long)Math.Clamp(model.ContextLength - ids.Length, 0, request.MaxTokens)) * samples;
        await meter.ReserveAsync(variant, prompts.Sum(ids => (long)ids.Length), output, choices: 1, isElastic: false);
        foreach ((int[] ids, CompletionPrompt prompt) in prompts.Zip(request.Prompts))
        {
            Sequence first = model.Engine.Submit(new GenerationRequest
            {
                Prompt = ids,
                Adapter = variant.Adapter,
                MaxTokens = request.MaxTokens,
                Sampling = request.Generation.Sampling,
                Stop = request.Generation.Stop,
                IgnoreEos = request.Generation.IgnoreEos,
                TopLogprobs = request.Chooses ? Math.Max(0, request.Logprobs) : request.Logprobs,
                PromptLogprobs = request.Echo && scores,
                Samples = samples,
                Share = meter.Share,
            });
            meter.Add(first.Samples);
            foreach (Sequence sample in first.Samples)
                choices.Add(new CompletionChoice(choices.Count, sample, model, ids, request.Echo ? prompt : null, scores, OutputFilter.Of(meter, choices.Count), request.Chooses ? null : meter.Answers));
        }
    }

    private static int[] Encode(ServedModel model, CompletionPrompt prompt)
    {
        int[] ids = prompt.Tokens ?? model.Encode(prompt.Text!);
        return ids.Length > 0 ? ids : throw ApiException.Invalid("prompt", "invalid_value", "Invalid 'prompt': it has no tokens, and this model has no token to begin with.");
    }

    private static async Task AnswerAsync(HttpContext context, Answer answer, TimeLimit limit)
    {
        await Generation.RunAsync(answer.Choices, static _ => ValueTask.CompletedTask, limit);
        if (answer.Request.Chooses)
            answer = answer with { Choices = Choose(answer) };
        await answer.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(answer.Choices.Select(choice => choice.FinishReason)));
        await ApiJson.AnswerAsync(context, StatusCodes.Status200OK, answer, static (writer, answer) =>
        {
            WriteHead(writer, answer);
            writer.WriteStartArray("choices"u8);
            for (int i = 0; i < answer.Choices.Count; i++)
                answer.Choices[i].Write(writer, i);
            writer.WriteEndArray();
            ChatExtras.WriteDeadline(writer, answer.Deadline, answer.Choices.Any(choice => choice.IsLate));
            answer.Meter.Usage.Write(writer);
            writer.WriteEndObject();
        });
    }

    // Of each prompt's answers those whose tokens are the likeliest, on average.
    private static List<CompletionChoice> Choose(Answer answer)
    {
        List<CompletionChoice> chosen =
        [
            .. answer.Choices.Chunk(answer.Request.BestOf).SelectMany(samples => samples.OrderByDescending(sample => sample.MeanLogprob).ThenBy(sample => sample.Index).Take(answer.Request.Generation.Choices)),
        ];
        for (int i = 0; i < chosen.Count; i++)
            answer.Meter.Answers?.Add(i, new ResponseDelta(ResponseDeltaKind.Content, chosen[i].Written));
        return chosen;
    }

    private static async Task StreamAsync(HttpContext context, Answer answer, TimeLimit limit)
    {
        using var stream = new EventStream(context);
        await stream.FlushAsync();
        await Generation.RunAsync(answer.Choices, choice =>
        {
            if (choice.FinishReason is not null)
                return ValueTask.CompletedTask; // told below, once it is paid
            stream.Write((answer, choice), WriteChunk);
            return stream.FlushAsync();
        }, limit);

        await answer.Meter.SettleAsync(StatusCodes.Status200OK, Generation.Reasons(answer.Choices.Select(choice => choice.FinishReason)));
        foreach (CompletionChoice choice in answer.Choices)
            stream.Write((answer, choice), WriteChunk);
        if (answer.TellsUsage)
            stream.Write(answer, WriteUsage);
        stream.WriteDone();
        await stream.FlushAsync();
    }

    private static void WriteChunk(Utf8JsonWriter writer, (Answer Answer, CompletionChoice Choice) chunk)
    {
        WriteHead(writer, chunk.Answer);
        writer.WriteStartArray("choices"u8);
        chunk.Choice.Write(writer, chunk.Choice.Index);
        writer.WriteEndArray();
        if (chunk.Choice.FinishReason is not null)
            ChatExtras.WriteDeadline(writer, chunk.Answer.Deadline, chunk.Choice.IsLate);
        if (chunk.Answer.TellsUsage)
            writer.WriteNull("usage"u8);
        writer.WriteEndObject();
    }

    private static void WriteUsage(Utf8JsonWriter writer, Answer answer)
    {
        WriteHead(writer, answer);
        writer.WriteStartArray("choices"u8);
        writer.WriteEndArray();
        answer.Meter.Usage.Write(writer);
        writer.WriteEndObject();
    }

    private static void WriteHead(Utf8JsonWriter writer, Answer answer)
    {
        writer.WriteStartObject();
        writer.WriteString("id"u8, answer.Meter.Id);
        writer.WriteString("object"u8, "text_completion"u8);
        writer.WriteNumber("created"u8, answer.Meter.Created);
        writer.WriteString("model"u8, answer.Model.Name);
        writer.WriteString("system_fingerprint"u8, answer.Model.Fingerprint);
    }
}
