using Flint.Dialects;

namespace Flint.App.Serving;

/// <summary>A conversation with a model that has a chat template: keeps what was said and turns it into prompts.</summary>
public sealed class ChatSession
{
    private const string TemplateKey = "tokenizer.chat_template";

    private readonly ServedModel _model;
    private readonly List<ChatMessage> _messages = [];

    /// <summary>Begins a conversation.</summary>
    /// <param name="model">The model, one that <see cref="CanChat"/>.</param>
    /// <param name="system">The system message; null for none.</param>
    public ChatSession(ServedModel model, string? system)
    {
        _model = model;
        System = system;
    }

    /// <summary>The system message of the prompts to come; null for none.</summary>
    public string? System { get; set; }

    /// <summary>The mode of the answers to come.</summary>
    public ModePlan Plan { get; init; } = ModePlan.OwnWay;

    /// <summary>Whether a model has a chat template.</summary>
    public static bool CanChat(ServedModel model) => model.Model.File.Metadata.Contains(TemplateKey);

    /// <summary>The prompt for the next answer. Until <see cref="Answered"/> says what was answered, asking again asks instead.</summary>
    public ChatPrompt Ask(string user)
    {
        if (_messages.Count % 2 == 1) _messages.RemoveAt(_messages.Count - 1);
        _messages.Add(new ChatMessage { Role = "user", Content = user });
        return _model.Encode(new TemplateInput
        {
            Messages = System is null ? _messages : [new ChatMessage { Role = "system", Content = System }, .. _messages],
            Extra = Plan.Variables,
            BosToken = _model.BosText,
            EosToken = _model.EosText,
            Now = DateTimeOffset.Now,
        }, Plan);
    }

    /// <summary>Records the answer to what was asked last.</summary>
    public void Answered(string content, string? reasoning = null) =>
        _messages.Add(new ChatMessage { Role = "assistant", Content = content, ReasoningContent = reasoning });

    /// <summary>Forgets what was said; the system message stays.</summary>
    public void Reset() => _messages.Clear();
}
