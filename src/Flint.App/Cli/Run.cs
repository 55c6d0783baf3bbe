using System.CommandLine;
using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Text;
using Flint.App.Serving;
using Flint.Dialects;
using Flint.Engine;
using Flint.Kernels;

namespace Flint.App.Cli;

/// <summary><c>flint run MODEL</c>: a chat in the terminal, one answer for a script, or plain completion.</summary>
internal static class Run
{
    /// <summary>The verb's name.</summary>
    internal const string Name = "run";

    private const string Commands = "/exit ends, /reset forgets the conversation, /system TEXT sets the system message, Ctrl+C stops an answer";

    private static readonly Argument<string?> ModelArgument = Verb.Model();
    private static readonly Option<string?> Adapter = new("--adapter") { Description = "A low-rank adapter: a .gguf file or a PEFT folder.", HelpName = "PATH" };
    private static readonly Option<string?> Prompt = new("--prompt", "-p") { Description = "Answer this and end; the answer goes to standard output.", HelpName = "TEXT" };
    private static readonly Option<string?> SystemText = new("--system") { Description = "The system message.", HelpName = "TEXT" };
    private static readonly Option<bool> Raw = new("--raw") { Description = "Go on with the text as it is, without a chat template; what happens anyway with a model that has none." };
    private static readonly Option<string?> Mode = Verb.OneOf(new Option<string?>("--mode") { Description = "Whether the model thinks before it answers: instant or thinking (default: the model's own way).", HelpName = "MODE" }, "instant", "thinking");
    private static readonly Option<string?> Effort = Verb.OneOf(new Option<string?>("--effort") { Description = "How hard it thinks: none, minimal, low, medium, high, xhigh or max.", HelpName = "EFFORT" }, ModePlan.Efforts);
    private static readonly Option<float> Temperature = Verb.Range(new Option<float>("--temperature") { Description = "0 takes the likeliest token always.", DefaultValueFactory = _ => 0.8f, HelpName = "T" }, 0, 100);
    private static readonly Option<float> TopP = Verb.Range(new Option<float>("--top-p") { Description = "Draw from the likeliest tokens whose probabilities reach this sum.", DefaultValueFactory = _ => 0.95f, HelpName = "P" }, 0, 1);
    private static readonly Option<int> TopK = Verb.Range(new Option<int>("--top-k") { Description = "Draw from this many of the likeliest tokens; 0 for all.", DefaultValueFactory = _ => 40, HelpName = "K" }, 0, int.MaxValue);
    private static readonly Option<ulong?> Seed = new("--seed") { Description = "Makes the draws repeatable.", HelpName = "N" };
    private static readonly Option<int?> MaxTokens = Verb.Range(new Option<int?>("--max-tokens") { Description = "The most tokens of an answer (default: what the context holds).", HelpName = "N" }, 1, int.MaxValue);
    private static readonly Option<string?> JsonSchema = new("--json-schema") { Description = "Hold answers to the JSON schema in this file.", HelpName = "FILE" };
    private static readonly Option<string?> Grammar = new("--grammar") { Description = "Hold answers to the grammar in this file, in llama.cpp's language GBNF.", HelpName = "FILE" };
    private static readonly Option<int> Context = Verb.Range(new Option<int>("--ctx") { Description = "The longest conversation in tokens (default: the model's own).", HelpName = "TOKENS" }, 0, 1 << 24);
    private static readonly Option<int> Threads = Verb.Threads();
    private static readonly Option<KvFormat?> KvFormat = Verb.KvFormat();

    internal static Command Create()
    {
        var command = new Command(Name, $"Chat with a model in the terminal ({Commands}). Prompts come line by line from standard input when it is not a terminal.")
            { ModelArgument, Adapter, Prompt, SystemText, Raw, Mode, Effort, Temperature, TopP, TopK, Seed, MaxTokens, JsonSchema, Grammar, Context, Threads, KvFormat };
        command.SetAction((parsed, _) => RunAsync(parsed));
        return command;
    }

    private static async Task<int> RunAsync(ParseResult parsed)
    {
        using ServedModel model = ServedModel.Load(
            ModelLocator.Find(parsed.GetValue(ModelArgument)), null,
            new ServingOptions
            {
                Parallel = 1, Waiting = 1, ContextLength = parsed.GetValue(Context), Threads = parsed.GetValue(Threads), KvFormat = parsed.GetValue(KvFormat),
                Adapters = parsed.GetValue(Adapter) is { } adapter ? [new AdapterSource("adapter", adapter)] : [],
            });
        string? once = parsed.GetValue(Prompt);
        bool chats = ChatSession.CanChat(model) && !parsed.GetValue(Raw);
        if (!chats && parsed.GetValue(SystemText) is not null)
            throw FlintException.Caller("no_template", "--system needs a model with a chat template, and no --raw");
        if (!chats && (parsed.GetValue(Mode) ?? parsed.GetValue(Effort)) is not null)
            throw FlintException.Caller("no_template", "--mode and --effort need a model with a chat template, and no --raw");
        var plan = ModePlan.Of(model.Dialect, ModePlan.Find(parsed.GetValue(Mode)), parsed.GetValue(Effort), budget: null, offersTools: false);
        if (plan.Approximation is { } approximation)
            Console.Error.WriteLine($"flint: {approximation}");
        using var session = new Session(model, chats ? new ChatSession(model, parsed.GetValue(SystemText)) { Plan = plan } : null, parsed);
        if (once is not null)
            return await session.AnswerAsync(once) == FinishReason.Cancelled ? CommandLine.Interrupted : 0;
        return await session.LoopAsync();
    }

    private static ResponseFormat? FormatOf(ParseResult parsed)
    {
        string? schema = parsed.GetValue(JsonSchema), grammar = parsed.GetValue(Grammar);
        if (schema is not null && grammar is not null)
            throw FlintException.Caller("two_formats", "--json-schema and --grammar both say what answers must be; leave one out");
        if (schema is not null)
            return new ResponseFormat(ResponseFormatKind.JsonSchema, TextOf(schema));
        return grammar is null ? null : new ResponseFormat(ResponseFormatKind.Grammar, TextOf(grammar));
    }

    private static string TextOf(string file) => Encoding.UTF8.GetString(Verb.ReadInput(file)).TrimStart('\uFEFF');

    /// <summary>One run of the verb: the conversation, how answers are drawn, and the answer that Ctrl+C would stop.</summary>
    private sealed class Session : IDisposable
    {
        private readonly ServedModel _model;
        private readonly ChatSession? _chat;
        private readonly ParseResult _parsed;
        private readonly ResponseRules _rules;
        private readonly Screen _screen = Screen.Standard();
        private readonly PosixSignalRegistration _interrupt;
        private Sequence? _running;

        internal Session(ServedModel model, ChatSession? chat, ParseResult parsed)
        {
            _model = model;
            _chat = chat;
            _parsed = parsed;
            _rules = new ResponseRules { Format = FormatOf(parsed), IsRaw = chat is null };
            // Between answers the signal does what it always does: it ends the process.
            _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, signal =>
            {
                if (Volatile.Read(ref _running) is not { } answer) return;
                signal.Cancel = true;
                answer.Cancel();
            });
        }

        public void Dispose() => _interrupt.Dispose();

        /// <summary>Answers line after line until the input ends.</summary>
        internal async Task<int> LoopAsync()
        {
            bool terminal = !Console.IsInputRedirected;
            if (terminal) Console.Error.WriteLine($"{_model.Description}\n{(_chat is null ? "plain completion; " : "")}{Commands}");
            while (true)
            {
                if (terminal) Console.Error.Write("> ");
                string? line = Console.In.ReadLine();
                if (line is null or "/exit" or "/quit" or "/bye") return 0;
                if (line.Trim().Length == 0 || TakesCommand(line)) continue;
                try
                {
                    await AnswerAsync(line);
                }
                catch (FlintException fault) when (terminal && fault.Side is FaultSide.Caller or FaultSide.Limit)
                {
                    _screen.End();
                    Console.Error.WriteLine($"flint: {fault.Message} (/reset starts anew)");
                }
            }
        }

        /// <summary>Streams one answer to the screen.</summary>
        internal async Task<FinishReason> AnswerAsync(string prompt)
        {
            ChatPrompt asked = _chat?.Ask(prompt) ?? new ChatPrompt(_model.Encode(prompt), OpensReasoning: false);
            Sequence sequence = _model.Engine.Submit(new GenerationRequest
            {
                Prompt = asked.Ids,
                Grammar = _model.GrammarOf(_rules, asked),
                GrammarTokens = _rules.IsEmpty ? 0 : asked.Primer?.Length ?? 0,
                Adapter = _model.Variants[^1].Adapter,
                MaxTokens = _parsed.GetValue(MaxTokens) ?? int.MaxValue,
                Stop = _chat is null ? [] : _model.ChatStops,
                Sampling = new SamplingOptions
                {
                    Temperature = _parsed.GetValue(Temperature), TopP = _parsed.GetValue(TopP), TopK = _parsed.GetValue(TopK), Seed = _parsed.GetValue(Seed),
                },
            });
            Volatile.Write(ref _running, sequence);
            try
            {
                if (_chat is null) await StreamTextAsync(sequence, startsText: prompt.Length == 0);
                else await StreamChatAsync(sequence, _chat, asked);
                if (sequence.Fault is { } fault) throw fault;
                return sequence.FinishReason ?? throw new UnreachableException();
            }
            finally
            {
                Volatile.Write(ref _running, null);
                _screen.End();
            }
        }

        private async Task StreamTextAsync(Sequence sequence, bool startsText)
        {
            await foreach (TokenEvent news in sequence.Events())
            {
                string text = news.Text ?? "";
                // Some vocabularies put a space before every first word; of a text that begins here it is no part.
                if (startsText && text.Length > 0)
                {
                    startsText = false;
                    if (text[0] == ' ' && !_model.Tokenizer.Decode([news.Token]).StartsWith(' ')) text = text[1..];
                }
                _screen.Content(text);
            }
        }

        private async Task StreamChatAsync(Sequence sequence, ChatSession chat, ChatPrompt asked)
        {
            var deltas = new List<ResponseDelta>();
            ResponseParser parser = _model.CreateParser(asked, [], null, deltas);
            var content = new StringBuilder();
            var reasoning = new StringBuilder();
            await foreach (TokenEvent news in sequence.Events())
            {
                _model.Push(parser, news, deltas);
                Show();
            }
            parser.Finish(deltas);
            Show();
            chat.Answered(content.ToString(), reasoning.Length > 0 ? reasoning.ToString() : null);

            void Show()
            {
                foreach (ResponseDelta delta in deltas)
                {
                    switch (delta.Kind)
                    {
                        case ResponseDeltaKind.Reasoning:
                            reasoning.Append(delta.Text);
                            if (!chat.Plan.HidesReasoning) _screen.Reasoning(delta.Text);
                            break;
                        case ResponseDeltaKind.ToolCallStart:
                            _screen.Content($"{delta.ToolName} ");
                            break;
                        case ResponseDeltaKind.ToolCallEnd:
                            _screen.Content("\n");
                            break;
                        default:
                            if (delta.Kind == ResponseDeltaKind.Content) content.Append(delta.Text);
                            _screen.Content(delta.Text);
                            break;
                    }
                }
                deltas.Clear();
            }
        }

        private bool TakesCommand(string line)
        {
            if (_chat is null || !line.StartsWith('/')) return false;
            string[] parts = line.Split(' ', 2, StringSplitOptions.TrimEntries);
            switch (parts[0])
            {
                case "/reset":
                    _chat.Reset();
                    break;
                case "/system":
                    _chat.System = parts.Length > 1 && parts[1].Length > 0 ? parts[1] : null;
                    _chat.Reset();
                    break;
                default:
                    Console.Error.WriteLine($"flint: no command {parts[0]}; {Commands}");
                    break;
            }
            return true;
        }
    }
}
