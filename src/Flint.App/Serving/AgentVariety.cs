using Flint.Contemplate;
using Flint.Dialects;

namespace Flint.App.Serving;

/// <summary>What exploring agents differ in beside seed and temperature. Each list is gone through in turn.</summary>
/// <param name="Perspectives">What an agent is asked at the end of the user's last message.</param>
/// <param name="Variants">What it generates with: the model as it is, or with an adapter.</param>
public sealed record AgentVariety(IReadOnlyList<string> Perspectives, IReadOnlyList<ModelVariant> Variants)
{
    /// <summary>The viewpoints of a conversation, every pair that taking turns leads to; none where the agents do not differ.</summary>
    /// <param name="model">The model.</param>
    /// <param name="input">The conversation.</param>
    /// <exception cref="FlintException">Caller: the conversation has no user to ask for a perspective.</exception>
    internal IReadOnlyList<Viewpoint> Viewpoints(ServedModel model, TemplateInput input)
    {
        if (Perspectives.Count == 0 && Variants.Count == 0)
            return [];
        int[][] prompts = Perspectives.Count == 0 ? [model.Encode(input).Ids] : [.. Perspectives.Select(text => model.Encode(input.With(Asking(input.Messages, text))).Ids)];
        int variants = Math.Max(1, Variants.Count);
        var views = new List<Viewpoint>();
        do
        {
            int i = views.Count;
            views.Add(new Viewpoint(
                Perspectives.Count == 0 ? null : Perspectives[i % prompts.Length], prompts[i % prompts.Length], Variants.Count == 0 ? null : Variants[i % variants].Name));
        }
        while (views.Count < ContemplationOptions.MaxAgents && (views.Count % prompts.Length != 0 || views.Count % variants != 0));
        return views;
    }

    /// <summary>A conversation whose last question asks for a perspective too: behind all that the agents share, so that they share its pages.</summary>
    /// <exception cref="FlintException">Caller: the conversation has no user to ask.</exception>
    internal static ChatMessage[] Asking(IReadOnlyList<ChatMessage> conversation, string perspective)
    {
        ChatMessage[] messages = [.. conversation];
        int last = Array.FindLastIndex(messages, m => m.Role == "user");
        if (last < 0)
            throw FlintException.Caller("no_user", "A perspective is told at the end of the user's last message; the conversation has none.");
        ChatMessage asked = messages[last];
        messages[last] = new ChatMessage
        {
            Role = asked.Role,
            Content = asked.Parts is null ? $"{asked.Content}\n\n{perspective}" : null,
            Parts = asked.Parts is null ? null : [.. asked.Parts, ContentPart.OfText($"\n\n{perspective}")],
            Name = asked.Name,
            Extra = asked.Extra,
        };
        return messages;
    }
}
